//! A simulator of one test, and the requests that tests send.

use fortios_simulator::{Options, Simulator};
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "token-of-the-tests";
pub(crate) const PASSWORD: &str = "password-of-the-tests";

/// A running simulator and a client that trusts it.
pub(crate) struct Peer {
    pub(crate) simulator: Simulator,
    pub(crate) client: reqwest::Client,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn error(&self) -> i64 {
        self.body["error"].as_i64().unwrap_or(0)
    }

    pub(crate) fn results(&self) -> &[Value] {
        self.body["results"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// One attribute of every row.
    pub(crate) fn column(&self, attribute: &str) -> Vec<Value> {
        self.results().iter().map(|row| row[attribute].clone()).collect()
    }

    pub(crate) fn well(self, what: &str) -> Self {
        assert_eq!(self.status, 200, "{what}: {}", self.body);
        self
    }
}

impl Peer {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut options = Options { token: Some(TOKEN.to_owned()), ..Options::default() };
        PASSWORD.clone_into(&mut options.admin.password);
        change(&mut options);
        let simulator = Simulator::start(&options).await.unwrap();
        let authority =
            reqwest::Certificate::from_pem(simulator.authority.as_ref().unwrap().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
        Self { simulator, client }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/{path}", self.simulator.url());
        self.client.request(method.parse().unwrap(), url)
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer { status, body })
    }

    /// A request to the API with the token.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Answer {
        let mut request = self.request(method, &format!("api/v2/{path}")).bearer_auth(TOKEN);
        if !body.is_null() {
            request = request.json(body);
        }
        self.send(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call("POST", path, &body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call("PUT", path, &body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &Value::Null).await
    }

    /// A write within a transaction.
    pub(crate) async fn within(&self, transaction: u64, method: &str, path: &str, body: Value) -> Answer {
        let request = self.request(method, &format!("api/v2/{path}")).bearer_auth(TOKEN);
        let request = request.header("X-TRANSACTION-ID", transaction.to_string()).json(&body);
        self.send(request).await.unwrap()
    }

    pub(crate) async fn begin(&self, timeout: u64) -> u64 {
        let answer = self.post("cmdb?action=transaction-start&vdom=root", json!({"timeout": timeout})).await;
        answer.well("transaction-start").body["results"]["transaction-id"].as_u64().unwrap()
    }

    pub(crate) async fn finish(&self, how: &str, transaction: u64) -> Answer {
        let path = format!("cmdb?action=transaction-{how}&vdom=root");
        self.post(&path, json!({"transaction-id": transaction})).await
    }

    /// A request to the admin port.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        let url = format!("{}/{path}", self.simulator.admin_url());
        let mut request = self.client.request(method.parse().unwrap(), url);
        if !body.is_null() {
            request = request.json(&body);
        }
        self.send(request).await.unwrap()
    }

    pub(crate) async fn order(&self, path: &str) {
        self.admin("POST", path, Value::Null).await.well(path);
    }

    pub(crate) async fn address(&self, name: &str) {
        let body = json!({"name": name, "subnet": "10.0.0.0/24"});
        self.post("cmdb/firewall/address", body).await.well(name);
    }

    pub(crate) async fn policy(&self, id: i64) {
        self.post("cmdb/firewall/policy", policy(id)).await.well("policy");
    }

    pub(crate) async fn policies(&self) -> Vec<i64> {
        let answer = self.get("cmdb/firewall/policy/?format=policyid").await;
        answer.column("policyid").iter().map(|id| id.as_i64().unwrap()).collect()
    }
}

/// A policy that needs nothing but what is there from the start.
pub(crate) fn policy(id: i64) -> Value {
    json!({
        "policyid": id,
        "srcintf": [{"name": "port1"}],
        "dstintf": [{"name": "any"}],
        "srcaddr": [{"name": "all"}],
        "dstaddr": [{"name": "all"}],
        "service": [{"name": "ALL"}],
        "schedule": "always",
        "action": "accept",
    })
}
