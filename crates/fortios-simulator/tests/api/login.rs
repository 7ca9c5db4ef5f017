//! Who may ask: tokens, sessions, CSRF, lock-out.

use fortios_simulator::Firmware;
use reqwest::header::SET_COOKIE;
use serde_json::{Value, json};

use crate::peer::{Answer, PASSWORD, Peer, TOKEN};

const STATUS: &str = "api/v2/monitor/system/status";
const ADDRESS: &str = "api/v2/cmdb/firewall/address";

/// The cookies of a login by form: all of them as a client sends them back, and the CSRF token with its quotes.
async fn log_in(peer: &Peer) -> (String, String) {
    let form = format!("username=admin&secretkey={PASSWORD}&ajax=1");
    let response = peer.request("POST", "logincheck").body(form).send().await.unwrap();
    let cookies: Vec<String> = response
        .headers()
        .get_all(SET_COOKIE)
        .iter()
        .map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap().to_owned())
        .collect();
    let csrf = cookies.iter().find_map(|cookie| cookie.strip_prefix("ccsrftoken=")).unwrap().to_owned();
    assert!(response.text().await.unwrap().starts_with('1'));
    (cookies.join("; "), csrf)
}

async fn log_in_by_json(peer: &Peer, password: &str) -> Answer {
    let body = json!({"username": "admin", "secretkey": password, "request_key": true});
    peer.send(peer.request("POST", "api/v2/authentication").json(&body)).await.unwrap()
}

#[tokio::test]
async fn a_token_opens_everything_and_nothing_else_does() {
    let peer = Peer::start().await;
    let rows = [
        (peer.request("GET", STATUS).bearer_auth(TOKEN), 200, "a token"),
        (peer.request("GET", STATUS).bearer_auth("other"), 401, "another"),
        (peer.request("GET", STATUS), 401, "none"),
        (peer.request("GET", &format!("{STATUS}?access_token={TOKEN}")), 401, "in the URL: not since 7.4.5"),
    ];
    for (request, status, reason) in rows {
        assert_eq!(peer.send(request).await.unwrap().status, status, "{reason}");
    }
    let old = Peer::start_with(|options| options.identity.firmware = Firmware::new(7, 2, 8)).await;
    let in_url = old.request("GET", &format!("{STATUS}?access_token={TOKEN}"));
    assert_eq!(old.send(in_url).await.unwrap().status, 200, "in the URL: before");
    peer.put("cmdb/system/global", json!({"rest-api-key-url-query": "enable"})).await.well("allowed");
    let in_url = peer.request("GET", &format!("{STATUS}?access_token={TOKEN}"));
    assert_eq!(peer.send(in_url).await.unwrap().status, 200, "in the URL: where it is allowed");
}

#[tokio::test]
async fn a_session_by_cookies_writes_with_its_csrf_token() {
    let peer = Peer::start().await;
    let (cookies, csrf) = log_in(&peer).await;
    let read = peer.request("GET", ADDRESS).header("cookie", &cookies);
    assert_eq!(peer.send(read).await.unwrap().status, 200, "a read needs none");
    let rows = [
        (None, 403, "none"),
        (Some("x".to_owned()), 403, "a wrong one"),
        (Some(csrf.clone()), 200, "with quotes"),
        (Some(csrf.trim_matches('"').to_owned()), 200, "without"),
    ];
    for (count, (token, status, reason)) in rows.into_iter().enumerate() {
        let mut request = peer.request("POST", ADDRESS).header("cookie", &cookies);
        if let Some(token) = token {
            request = request.header("X-CSRFTOKEN", token);
        }
        let answer = peer.send(request.json(&json!({"name": format!("a{count}")}))).await.unwrap();
        assert_eq!(answer.status, status, "{reason}");
    }
    let logout = peer.request("POST", "logout").header("cookie", &cookies);
    assert_eq!(peer.send(logout).await.unwrap().status, 200);
    let read = peer.request("GET", ADDRESS).header("cookie", &cookies);
    assert_eq!(peer.send(read).await.unwrap().status, 401, "the session is over");
}

#[tokio::test]
async fn a_session_by_key_needs_no_csrf_token() {
    let peer = Peer::start().await;
    let answer = log_in_by_json(&peer, PASSWORD).await.well("login");
    assert_eq!(answer.body["status_message"], "LOGIN_SUCCESS");
    let key = answer.body["session_key"].as_str().unwrap();
    let write = peer.request("POST", ADDRESS).bearer_auth(key).json(&json!({"name": "a"}));
    assert_eq!(peer.send(write).await.unwrap().status, 200);
    let logout = peer.request("DELETE", "api/v2/authentication").bearer_auth(key).body("session_key=no-json");
    assert_eq!(peer.send(logout).await.unwrap().status, 200);
    let read = peer.request("GET", ADDRESS).bearer_auth(key);
    assert_eq!(peer.send(read).await.unwrap().status, 401);
}

#[tokio::test]
async fn sessions_end() {
    let peer = Peer::start().await;
    for how in ["sessions/expire", "clock?advance=301"] {
        let key = log_in_by_json(&peer, PASSWORD).await.body["session_key"].as_str().unwrap().to_owned();
        peer.order(how).await;
        let read = peer.request("GET", ADDRESS).bearer_auth(&key);
        assert_eq!(peer.send(read).await.unwrap().status, 401, "{how}");
    }
    peer.get("cmdb/firewall/address").await.well("a token is no session");
}

#[tokio::test]
async fn three_wrong_passwords_lock_for_a_minute() {
    let peer = Peer::start().await;
    for _ in 0..10 {
        peer.send(peer.request("GET", STATUS)).await.unwrap();
        peer.send(peer.request("POST", "logout")).await.unwrap();
        peer.send(peer.request("GET", "logincheck")).await.unwrap();
    }
    log_in_by_json(&peer, PASSWORD).await.well("who shows nothing is not counted");
    for _ in 0..3 {
        assert_eq!(log_in_by_json(&peer, "wrong").await.status, 401);
    }
    let locked = log_in_by_json(&peer, PASSWORD).await;
    assert_eq!((locked.status, &locked.body["status_message"]), (401, &Value::from("LOGIN_LOCKED_OUT")));
    peer.get("cmdb/firewall/address").await.well("tokens go on");
    peer.order("clock?advance=60").await;
    log_in_by_json(&peer, PASSWORD).await.well("a minute later");
}
