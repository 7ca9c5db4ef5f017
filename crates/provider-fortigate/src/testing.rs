//! A simulated device for the tests of this crate's own parts.

use fortios_simulator::{Options, Simulator};
use serde_json::Value as Json;

use crate::client::{At, Client, Config, Token};

/// A device with these rows, besides what it has by itself.
pub(crate) async fn device(rows: &[(&str, Json)]) -> (Simulator, Client) {
    let simulator =
        Simulator::start(&Options { token: Some("token".to_owned()), ..Options::default() }).await.unwrap();
    let client = client(&simulator, 8);
    let writer = client.writer(&|| Ok(()));
    for (table, row) in rows {
        writer.create(At { vdom: "root", table }, row.as_object().unwrap()).await.unwrap();
    }
    (simulator, client)
}

/// One that makes so many calls at once.
pub(crate) fn client(simulator: &Simulator, concurrency: usize) -> Client {
    let config = Config {
        url: simulator.url(),
        ca: simulator.authority.clone().unwrap(),
        concurrency,
        requests_per_second: 10_000,
    };
    Client::new(&config, Token::new("token")).unwrap()
}
