//! Traces, to a collector that somebody names in the environment.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod run;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use run::program;

/// What a collector was sent: the path, and the bytes.
type Sent = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Takes whatever is sent to it. Its address.
fn collector(sent: &Sent) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let sent = sent.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_until(b'\n', &mut head).unwrap() > 0 {}
            let head = String::from_utf8(head).unwrap();
            let Some(length) = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
            else {
                continue;
            };
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            sent.lock().unwrap().push((path, body));
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .unwrap();
        }
    });
    address
}

#[test]
fn each_step_is_a_span_where_a_collector_is_named() {
    let sent = Sent::default();
    let collector = collector(&sent);
    let output = program()
        .args(["apply", "-f", "good"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector)
        .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let sent = sent.lock().unwrap();
    assert!(sent.iter().all(|(path, _)| path == "/v1/traces"), "{sent:?}");
    let told: Vec<u8> = sent.iter().flat_map(|(_, body)| body.clone()).collect();
    // Texts stand in protobuf as they are.
    for text in [
        "service.name",
        "vertskommune",
        "deployment.environment.name",
        "apply_turn",
        "server/ibe-fs01",
        "dyroy",
    ] {
        assert!(told.windows(text.len()).any(|part| part == text.as_bytes()), "{text} is in no span");
    }
}

#[test]
fn a_collector_that_is_not_there_hinders_nothing() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = program()
        .args(["apply", "-f", "good"])
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{nobody}/v1/traces"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2, "{output:?}");
}

#[test]
fn an_address_that_is_none_is_refused_before_anything_is_done() {
    let output = program()
        .args(["apply", "-f", "good"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere at all")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{said}");
}
