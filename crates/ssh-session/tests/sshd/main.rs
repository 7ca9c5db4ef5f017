//! The session against a real sshd, which runs as whoever runs the tests.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod peer;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::pipe::{PipeFlags, pipe_with};
use ssh_session::{Cancel, Error, ErrorKind, Limits, Output, PrivateKey, Session, Target, Transfer};

use crate::peer::Sshd;

/// A subsystem that gives back what it gets.
const ECHO: &str = "/bin/cat";

const PATIENCE: Duration = Duration::from_secs(30);

fn limits() -> Limits {
    Limits { answer: Duration::from_secs(20), silence: Duration::from_secs(20), ..Limits::default() }
}

fn open(sshd: &Sshd, limits: Limits, cancel: &Cancel) -> Result<Session, Error> {
    Session::open(&sshd.target(), &sshd.key(), limits, cancel)
}

fn session(sshd: &Sshd) -> Session {
    open(sshd, limits(), &Cancel::new().unwrap()).unwrap()
}

/// A stream under way, with our ends of its pipes.
struct Stream {
    input: Option<File>,
    output: Option<File>,
    joined: JoinHandle<Result<Transfer, Error>>,
}

fn stream(session: Session) -> Stream {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).unwrap();
    let ((input, to_send), (received, output)): ((OwnedFd, OwnedFd), (OwnedFd, OwnedFd)) = (pipe(), pipe());
    let joined = thread::spawn(move || session.join(input, output));
    Stream { input: Some(to_send.into()), output: Some(received.into()), joined }
}

impl Stream {
    fn send(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Is still under way.
    fn stands(self) -> Self {
        assert!(!self.joined.is_finished(), "the stream ended: {:?}", self.joined.join().unwrap());
        self
    }

    fn ended(self) -> Result<Transfer, Error> {
        drop(self.input);
        self.joined.join().unwrap()
    }

    fn failed(self) -> Error {
        // The input stays open: the stream must end by itself.
        let failed = self.joined.join().unwrap().unwrap_err();
        drop(self.input);
        failed
    }
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

/// Noise in the form of SFTP packets, which are counted on their way.
fn packets(length: usize) -> Vec<u8> {
    let noise = noise(length);
    let packet = |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat();
    noise.chunks(32_000).map(packet).collect::<Vec<_>>().concat()
}

#[test]
fn a_command_has_input_output_and_status() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let mut session = session(&sshd);
    let input = noise(3_000_000);
    let output = session.exec("cat; echo said >&2; exit 3", &input, 4_000_000, PATIENCE).unwrap();
    assert_eq!(output, Output { stdout: input, stderr: b"said\n".to_vec(), status: Some(3) });
    let output = session.exec("true", &[], 0, PATIENCE).unwrap();
    assert_eq!(
        output,
        Output { stdout: Vec::new(), stderr: Vec::new(), status: Some(0) },
        "and a second one"
    );
    let output = session.exec("kill -KILL $$", &[], 0, PATIENCE).unwrap();
    assert_eq!(output.status, None, "a signal is no status");
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

#[test]
fn a_stream_goes_both_ways_at_once_and_ends_in_order() {
    // Keys are exchanged anew every few megabytes, as a real sshd does in long transfers.
    for (what, options) in
        [("plain", ""), ("with new keys", "RekeyLimit 3M"), ("by another cipher", "Ciphers aes256-ctr")]
    {
        let Some(sshd) = Sshd::start(ECHO, options) else { return };
        let mut stream = stream(session(&sshd));
        let sent = packets(48_000_000);
        let mut output = stream.output.take().unwrap();
        let reading = thread::spawn(move || {
            let mut received = Vec::new();
            output.read_to_end(&mut received).map(|_| received).unwrap()
        });
        stream.send(&sent);
        let transfer = stream.ended().unwrap();
        let received = reading.join().unwrap();
        assert!(received == sent, "{what}: {} bytes of {} came back", received.len(), sent.len());
        assert_eq!((transfer.sent, transfer.received), (sent.len() as u64, sent.len() as u64), "{what}");
    }
}

#[test]
fn a_reader_that_rests_holds_the_stream_and_loses_nothing() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let brisk = Limits { answer: Duration::from_secs(1), silence: Duration::from_secs(4), ..limits() };
    let mut stream = stream(open(&sshd, brisk, &Cancel::new().unwrap()).unwrap());
    let sent = packets(30_000_000);
    let (mut input, copy) = (stream.input.take().unwrap(), sent.clone());
    let writing = thread::spawn(move || input.write_all(&copy).unwrap());
    // Longer than any limit, and all buffers on the way are full: the near side is slow, not the host.
    thread::sleep(Duration::from_secs(9));
    stream = stream.stands();
    assert!(!writing.is_finished(), "what is not read is not taken in");
    let mut received = Vec::new();
    stream.output.take().unwrap().read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent);
    stream.ended().unwrap();
}

#[test]
fn a_quiet_stream_stays_and_an_answer_that_is_owed_does_not_come_forever() {
    let Some(sshd) = Sshd::start("/bin/sleep 600", "") else { return };
    let brisk = Limits { answer: Duration::from_secs(1), silence: Duration::from_secs(4), ..limits() };
    let mut stream = stream(open(&sshd, brisk, &Cancel::new().unwrap()).unwrap());
    // Nobody asks for anything, and the host says that it is there.
    thread::sleep(Duration::from_secs(9));
    stream = stream.stands();
    stream.send(&packets(100));
    let error = stream.failed();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("SFTP request"), "{error}");
}

#[test]
fn a_stream_ends_when_the_host_freezes_dies_or_ends_first() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let brisk = Limits { silence: Duration::from_secs(1), ..limits() };
    let cancel = Cancel::new().unwrap();
    let mut one = stream(open(&sshd, brisk, &cancel).unwrap());
    one.send(&packets(1000));
    let frozen = sshd.freeze();
    let error = one.failed();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "frozen: {error}");
    drop(frozen);

    let mut one = stream(open(&sshd, brisk, &cancel).unwrap());
    one.send(&packets(1000));
    one.output.as_mut().unwrap().read_exact(&mut [0; 1000]).unwrap();
    sshd.kill_sessions();
    let error = one.failed();
    assert_eq!(error.kind(), ErrorKind::Closed, "killed: {error}");

    let Some(sshd) = Sshd::start("/bin/true", "") else { return };
    let error = stream(open(&sshd, brisk, &cancel).unwrap()).failed();
    assert_eq!(error.kind(), ErrorKind::Closed, "ended first: {error}");
}

#[test]
fn a_reader_that_is_gone_ends_the_stream() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let mut stream = stream(session(&sshd));
    drop(stream.output.take());
    stream.send(&packets(1000));
    assert_eq!(stream.failed().kind(), ErrorKind::Near);
}

#[test]
fn a_program_that_leaves_with_all_its_answers_ends_well() {
    let Some(sshd) = Sshd::start(ECHO, "") else { return };
    let mut stream = stream(session(&sshd));
    let sent = packets(1000);
    stream.send(&sent);
    let mut output = stream.output.take().unwrap();
    output.read_exact(&mut vec![0; sent.len()]).unwrap();
    // As a program's end closes them.
    drop(output);
    assert_eq!(stream.ended().unwrap().received, sent.len() as u64);
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
    let quiet = stream(open(&sshd, limits(), &cancel).unwrap());
    soon(&cancel);
    assert_eq!(quiet.failed().kind(), ErrorKind::Cancelled, "a stream");

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
