//! Logging in and out, in both of the ways that FortiOS has.

use serde_json::{Value as Json, json};

use super::reply::Reply;
use super::request::Request;
use crate::access::{LoginError, Session};
use crate::device::Device;
use crate::sync::{lock, read};

/// `POST` and `DELETE /api/v2/authentication`. The body of a `DELETE` is not looked at: clients send what is no
/// JSON there.
pub(crate) fn authentication(device: &Device, request: &Request) -> Reply {
    match request.method.as_str() {
        "POST" => {}
        "DELETE" => {
            lock(&device.access).logout(&request.headers);
            return status(200, 4, "LOGOUT_SUCCESS");
        }
        _ => return Reply::html(405, "Method Not Allowed"),
    }
    let body = request.json().unwrap_or(Json::Null);
    let field = |name: &str| body[name].as_str().unwrap_or_default();
    let secret = if field("secretkey").is_empty() { field("password") } else { field("secretkey") };
    match login(device, request, field("username"), secret) {
        Ok(session) => {
            let mut answer = json!({"status_code": 5, "status_message": "LOGIN_SUCCESS"});
            if body["request_key"] == true {
                answer["session_key"] = json!(session.key);
                return Reply::json(200, &answer);
            }
            with_cookies(Reply::json(200, &answer), &session, request, &["ccsrf_token_"])
        }
        Err(LoginError::Refused) => status(401, -1, "LOGIN_FAILED"),
        Err(LoginError::Locked) => status(401, -3, "LOGIN_LOCKED_OUT"),
    }
}

/// `POST /logincheck`: a form, whatever its content type says; the first byte of the answer tells.
pub(crate) fn logincheck(device: &Device, request: &Request) -> Reply {
    let form = request.form();
    let field =
        |name: &str| form.iter().find(|(held, _)| held == name).map_or("", |(_, value)| value.as_str());
    if request.method != "POST" || field("username").is_empty() {
        return Reply::raw(200, "text/html", b"0".to_vec());
    }
    match login(device, request, field("username"), field("secretkey")) {
        Ok(session) => {
            let body = b"1document.location=\"/prompt?viewOnly&redir=%2F\";\n".to_vec();
            with_cookies(
                Reply::raw(200, "text/html", body),
                &session,
                request,
                &["ccsrftoken_", "ccsrftoken"],
            )
        }
        Err(LoginError::Refused) => Reply::raw(200, "text/html", b"0".to_vec()),
        Err(LoginError::Locked) => Reply::raw(200, "text/html", b"2".to_vec()),
    }
}

/// `GET` or `POST /logout`, with a session or without.
pub(crate) fn logout(device: &Device, request: &Request) -> Reply {
    lock(&device.access).logout(&request.headers);
    Reply::raw(200, "text/html", Vec::new())
}

fn login(device: &Device, request: &Request, user: &str, password: &str) -> Result<Session, LoginError> {
    let config = read(&device.config);
    let now = device.clock.now();
    lock(&device.access).login(config.committed(), (user, password), request.peer, now)
}

fn status(code: u16, status_code: i32, message: &str) -> Reply {
    Reply::json(code, &json!({"status_code": status_code, "status_message": message}))
}

/// The names carry the port, so that sessions with several devices of one address do not mix; both ways of logging
/// in have a name of their own for the CSRF token, and one of them an older name besides.
fn with_cookies(reply: Reply, session: &Session, request: &Request, csrf_names: &[&str]) -> Reply {
    let host = request.header("host").unwrap_or_default();
    let port = host.rsplit_once(':').map_or("443", |(_, port)| port);
    let (key, csrf) = (&session.key, &session.csrf);
    let cookie = format!("session_key_{port}=\"{key}\"; path=/; secure; HttpOnly; SameSite=Lax");
    csrf_names.iter().fold(reply.with("set-cookie", cookie), |reply, name| {
        let port = if name.ends_with('_') { port } else { "" };
        reply.with("set-cookie", format!("{name}{port}=\"{csrf}\"; path=/; secure; SameSite=Lax"))
    })
}
