//! A simulated device for the tests of this crate's own parts.

use fortios_simulator::{Options, Simulator};
use serde_json::Value as Json;

use crate::client::{At, Client, Config, Token};

/// A device with these rows, besides what it has by itself.
pub(crate) async fn device(rows: &[(&str, Json)]) -> (Simulator, Client) {
    let simulator =
        Simulator::start(&Options { token: Some("token".to_owned()), ..Options::default() }).await.unwrap();
    let config = Config {
        url: simulator.url(),
        ca: simulator.authority.clone().unwrap(),
        concurrency: 8,
        requests_per_second: 10_000,
    };
    let client = Client::new(&config, Token::new("token")).unwrap();
    let writer = client.writer(&|| Ok(()));
    for (table, row) in rows {
        writer.create(At { vdom: "root", table }, row.as_object().unwrap()).await.unwrap();
    }
    (simulator, client)
}
