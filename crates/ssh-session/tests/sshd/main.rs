//! The session against a real sshd, which runs as whoever runs the tests.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod peer;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ssh_session::{Cancel, Error, ErrorKind, Limits, Output, PrivateKey, Session, Stock, Target};

use crate::peer::Sshd;

/// A subsystem that gives back what it gets.
const ECHO: &str = "/bin/cat";

const SSH: &str = "/usr/bin/ssh";

const PATIENCE: Duration = Duration::from_secs(30);

fn limits() -> Limits {
    Limits { answer: Duration::from_secs(20), ..Limits::default() }
}

fn open(sshd: &Sshd, limits: Limits, cancel: &Cancel) -> Result<Session, Error> {
    Session::open(&sshd.target(), &sshd.key(), limits, cancel)
}

fn session(sshd: &Sshd) -> Session {
    open(sshd, limits(), &Cancel::new().unwrap()).unwrap()
}

/// Bytes that repeat only after a long time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[test]
fn a_command_has_input_output_and_status() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let mut session = session(&sshd);
    let input = noise(3_000_000);
    let output = session.exec("cat; echo said >&2; exit 3", &input, 4_000_000, PATIENCE).unwrap();
    assert_eq!(output, Output { stdout: input, stderr: b"said\n".to_vec(), status: 3 });
    let output = session.exec("true", &[], 0, PATIENCE).unwrap();
    assert_eq!(output, Output { stdout: Vec::new(), stderr: Vec::new(), status: 0 }, "and a second one");
    let killed = session.exec("echo half; kill -KILL $$", &[], 100, PATIENCE).unwrap_err();
    assert!(matches!(&killed, Error::Killed { signal, .. } if signal == "KILL"), "{killed}");
    let ignored = session.exec("exec <&-; sleep 0.1; echo done", &noise(8_000_000), 100, PATIENCE);
    assert_eq!(ignored.unwrap().stdout, b"done\n", "a command need not read its input");
    let error = session.exec("cat /dev/zero", &[], 1000, PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLong, "{error}");
}

#[test]
fn a_wrong_host_key_is_refused_before_anything_of_a_credential_is_sent() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let attempts = |log: &str| log.matches("userauth-request").count();
    let other = Target { host_key: sshd.another_key(), ..sshd.target() };
    let error = Session::open(&other, &sshd.key(), limits(), &Cancel::new().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::HostKey, "{error}");
    for fingerprint in [other.host_key.fingerprint(), sshd.target().host_key.fingerprint()] {
        assert!(error.to_string().contains(&fingerprint), "{error} names both keys");
    }
    let log = sshd.log_with("Connection closed by");
    assert_eq!(attempts(&log), 0, "nobody tried to log in:\n{log}");
    session(&sshd);
    let log = sshd.log_with("Accepted publickey");
    assert!(attempts(&log) > 0, "the log would have shown it");
}

#[test]
fn a_host_with_several_keys_shows_the_pinned_one() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let target = Target { host_key: sshd.rsa_key(), ..sshd.target() };
    let mut session = Session::open(&target, &sshd.key(), limits(), &Cancel::new().unwrap()).unwrap();
    assert_eq!(session.exec("echo rsa", &[], 10, PATIENCE).unwrap().stdout, b"rsa\n");
}

#[test]
fn a_key_that_is_not_authorized_is_refused_and_one_that_is_none_is_told() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let cancel = Cancel::new().unwrap();
    let error = Session::open(&sshd.target(), &sshd.another_private_key(), limits(), &cancel).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let body = "bm90IGEga2V5IGF0IGFsbA==";
    let none = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n");
    let error =
        Session::open(&sshd.target(), &PrivateKey::new(none).unwrap(), limits(), &cancel).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Key, "{error}");
    assert!(!format!("{error} {error:?}").contains(body), "{error:?} does not repeat it");
}

#[test]
fn a_frozen_host_is_given_up_in_time() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let second = Duration::from_secs(1);
    let hasty = Limits { handshake: second, ..limits() };
    let cancel = Cancel::new().unwrap();
    let mut before = session(&sshd);
    let frozen = sshd.freeze();
    let begin = Instant::now();
    let error = open(&sshd, hasty, &cancel).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "while shaking hands: {error}");
    let error = before.exec("true", &[], 0, second).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    drop(frozen);
    open(&sshd, limits(), &cancel).unwrap();
}

/// The stock ssh under way.
struct Stream {
    stock: Stock,
    child: Child,
}

fn stream(target: Target, key: &PrivateKey) -> Stream {
    let stock = Stock::new(Path::new(SSH), target, key, Duration::from_secs(3)).unwrap();
    let words = stock.command();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    Stream { stock, child }
}

impl Stream {
    fn send(&mut self, bytes: &[u8]) {
        self.child.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// It ends by itself, and not well.
    fn ends(mut self) -> Stock {
        let status = self.child.wait().unwrap();
        assert!(!status.success());
        self.stock
    }

    /// Why it ended by itself.
    fn failed(self) -> Error {
        self.ends().failure().unwrap()
    }
}

#[test]
fn a_stream_goes_both_ways_at_once_and_ends_in_order() {
    // Keys are exchanged anew every few megabytes, as a real sshd does in long transfers.
    for (what, options) in
        [("plain", ""), ("with new keys", "RekeyLimit 3M"), ("by another cipher", "Ciphers aes256-ctr")]
    {
        let Some(sshd) = Sshd::start(ECHO, options) else { return };
        let mut stream = stream(sshd.target(), &sshd.key());
        let sent = noise(48_000_000);
        let mut output = stream.child.stdout.take().unwrap();
        let reading = thread::spawn(move || {
            let mut received = Vec::new();
            output.read_to_end(&mut received).map(|_| received).unwrap()
        });
        stream.send(&sent);
        drop(stream.child.stdin.take());
        assert!(stream.child.wait().unwrap().success(), "{what}");
        let received = reading.join().unwrap();
        assert!(received == sent, "{what}: {} bytes of {} came back", received.len(), sent.len());
        assert!(stream.stock.failure().is_none(), "{what}");
    }
}

#[test]
fn why_a_stream_ends_is_told_by_its_kind() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let attempts = |log: &str| log.matches("userauth-request").count();
    let other = Target { host_key: sshd.another_key(), ..sshd.target() };
    let (pinned, seen) = (other.host_key.fingerprint(), sshd.target().host_key.fingerprint());
    let error = stream(other, &sshd.key()).failed();
    assert_eq!(error.kind(), ErrorKind::HostKey, "{error}");
    for fingerprint in [pinned, seen] {
        assert!(error.to_string().contains(&fingerprint), "{error} names both keys");
    }
    let log = sshd.log_with("Connection closed by");
    assert_eq!(attempts(&log), 0, "nobody tried to log in:\n{log}");

    let error = stream(sshd.target(), &sshd.another_private_key()).failed();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");

    let mut one = stream(sshd.target(), &sshd.key());
    one.send(b"there");
    one.child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    let frozen = sshd.freeze();
    let error = one.failed();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "frozen: {error}");
    drop(frozen);

    let mut one = stream(sshd.target(), &sshd.key());
    one.send(b"there");
    one.child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    sshd.kill_sessions();
    // That a connection was closed goes to standard error alone, from where restic passes it on.
    let failure = one.ends().failure().map(|error| error.kind());
    assert!(matches!(failure, None | Some(ErrorKind::Closed)), "killed: {failure:?}");

    let target = sshd.target();
    let nobody = Target { port: 1, ..target.clone() };
    let error = stream(nobody, &sshd.key()).failed();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    let nowhere = Target { host: "no-such-host.invalid".to_owned(), ..target };
    let error = stream(nowhere, &sshd.key()).failed();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
}

#[test]
fn a_quiet_stream_stays() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let mut stream = stream(sshd.target(), &sshd.key());
    // Longer than any limit. Nobody asks for anything, and the host says that it is there.
    thread::sleep(Duration::from_secs(8));
    stream.send(b"there");
    stream.child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    drop(stream.child.stdin.take());
    assert!(stream.child.wait().unwrap().success());
}

#[test]
fn no_key_is_an_argument_and_whether_ssh_works_is_told() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let stock = Stock::new(Path::new(SSH), sshd.target(), &sshd.key(), PATIENCE).unwrap();
    let secret = sshd.key().expose().lines().nth(1).unwrap().to_owned();
    assert!(!stock.command().join(" ").contains(&secret));
    assert!(Stock::version(Path::new(SSH)).unwrap().contains("OpenSSH"));
    let error = Stock::version(Path::new("/no/such/ssh")).unwrap_err();
    assert!(error.contains("/no/such/ssh does not start"), "{error}");
}

#[test]
fn a_word_ends_every_wait() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let soon = |cancel: &Cancel| {
        let cancel = cancel.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            cancel.cancel();
        })
    };
    let begin = Instant::now();
    let cancel = Cancel::new().unwrap();
    let mut running = open(&sshd, limits(), &cancel).unwrap();
    soon(&cancel);
    let error = running.exec("sleep 600", &[], 10, PATIENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "a command");

    let cancel = Cancel::new().unwrap();
    let _frozen = sshd.freeze();
    soon(&cancel);
    assert_eq!(open(&sshd, limits(), &cancel).unwrap_err().kind(), ErrorKind::Cancelled, "a handshake");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}
