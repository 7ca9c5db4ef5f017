//! A child process that never outlives its call, and never takes a broken stream for a whole one.

use std::ffi::OsString;
use std::io::{self, PipeWriter, Write};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::AsyncRead;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::oneshot;

use crate::error::{Error, Words};
use crate::output::{Output, lines};
use crate::repository::Bounds;

/// What lies between us and a child that is given a stream, in bytes: as much as any user may have.
const PIPE: usize = 1 << 20;

/// How long restic has to remove its lock before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Where programs are found: ours is nobody's business, and nobody's is ours.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a child reads.
pub(crate) enum Input {
    /// Nothing.
    Nothing,
    /// What this writes, to its end.
    Stream(Source),
}

/// Writes a stream on a thread of its own: whoever makes bytes there gives them to the child from its processor's cache.
pub(crate) type Source = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A program with its arguments.
pub(crate) struct Call<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    /// Where it may put files for a while.
    pub(crate) temporary: &'a Path,
}

/// Runs a child to its end. A failure of the child is an error by its last words.
pub(crate) async fn run(
    call: Call<'_>,
    input: Input,
    mut output: Output<'_>,
    bounds: &Bounds,
) -> Result<(), Error> {
    let mut running = Running::start(&call, matches!(input, Input::Stream(_))).await?;
    let mut words = Words::default();
    let Running { child, stdin, stdout, stderr, .. } = &mut running;
    let ended = tokio::select! {
        ended = async {
            talk(stdin, stdout, stderr, input, &mut output, &mut words).await?;
            Ok(child.wait().await?)
        } => ended,
        () = bounds.cancel.cancelled() => Err(Error::Cancelled),
        () = tokio::time::sleep(bounds.within) => Err(Error::TimedOut { after: bounds.within }),
    };
    match ended {
        Ok(status) => finish(status, &words, call.program),
        Err(error) => {
            running.end().await;
            Err(error)
        }
    }
}

fn finish(status: ExitStatus, words: &Words, program: &Path) -> Result<(), Error> {
    match status.code() {
        Some(0) => Ok(()),
        // So ends setpriv where there is no such program.
        Some(126 | 127) => Err(Error::Program { program: program.to_owned(), cause: None }),
        code => Err(Error::of(code, words)),
    }
}

/// Feeds and hears the child until it has closed its output.
async fn talk(
    stdin: &mut Option<PipeWriter>,
    stdout: &mut Option<ChildStdout>,
    stderr: &mut Option<ChildStderr>,
    input: Input,
    output: &mut Output<'_>,
    words: &mut Words,
) -> Result<(), Error> {
    let mut said = Words::default();
    let hear = async {
        let out = async {
            match stdout.as_mut() {
                Some(stdout) => output.take(stdout, &mut said).await,
                None => Ok(()),
            }
        };
        let err = async {
            match stderr.as_mut() {
                Some(stderr) => lines(stderr, |line| words.hear(line)).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(out, err).map(drop)
    };
    let feed = async {
        if let Input::Stream(source) = input {
            feed(source, stdin).await?;
        }
        std::future::pending::<Result<(), Error>>().await
    };
    let heard = tokio::select! {
        heard = hear => heard,
        broken = feed => broken,
    };
    said.lines_into(words);
    heard
}

/// Lets the source write to the child. Only its end closes the input: a break, or a panic, leaves it open in `stdin`.
async fn feed(source: Source, stdin: &mut Option<PipeWriter>) -> Result<(), Error> {
    let Some(into) = stdin.as_ref() else { return Ok(()) };
    let mut into = Into { pipe: into.try_clone()?, any: false, gone: false };
    let fed = tokio::task::spawn_blocking(move || match source(&mut into) {
        // That the child is gone is told by its last words.
        _ if into.gone => Ok(()),
        // restic saves a snapshot without its file, and calls that a failure.
        Ok(()) if !into.any => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is empty")),
        fed => fed,
    });
    fed.await.map_err(io::Error::other).flatten().map_err(Error::Source)?;
    *stdin = None;
    Ok(())
}

/// A child's input, as a source sees it.
struct Into {
    pipe: PipeWriter,
    /// Whether anything was written.
    any: bool,
    /// Whether nobody reads it any more.
    gone: bool,
}

impl Write for Into {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.pipe.write(bytes);
        match &written {
            Ok(length) => self.any |= *length > 0,
            Err(error) => self.gone |= error.kind() != io::ErrorKind::Interrupted,
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A living child. When it is dropped, the child is killed first and its input closed after that.
struct Running {
    child: Child,
    group: Option<Pid>,
    stdin: Option<PipeWriter>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// Keeps the thread that the child's life hangs on.
    _parent: mpsc::Sender<()>,
}

impl Running {
    async fn start(call: &Call<'_>, feeds: bool) -> Result<Self, Error> {
        // The kernel kills the child when its parent dies (PR_SET_PDEATHSIG, by setpriv, as the call itself is unsafe).
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(call.program).args(&call.arguments);
        command.env_clear().env("PATH", PATH).env("LANG", "C").env("TMPDIR", call.temporary);
        // Times in arguments are UTC, whatever the machine's zone is.
        command.env("TZ", "UTC").env("RESTIC_PROGRESS_FPS", "1");
        let stdin = if feeds {
            let (from, into) = io::pipe()?;
            // Both sides wake up less often. One that may not grow works as well.
            let _ = fcntl_setpipe_size(&into, PIPE);
            command.stdin(from);
            Some(into)
        } else {
            command.stdin(Stdio::null());
            None
        };
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/");
        command.process_group(0).kill_on_drop(true);
        let (mut child, parent) = on_a_thread_of_its_own(command).await.map_err(|cause| Error::Program {
            program: Path::new("setpriv").to_owned(),
            cause: Some(cause),
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Self { child, group, stdin, stdout, stderr, _parent: parent })
    }

    /// Asks it to end, so that it removes its lock, and ends it where it does not.
    async fn end(&mut self) {
        if let Some(group) = self.group {
            let _ = kill_process(group, Signal::INT);
        }
        let Self { child, stdout, stderr, .. } = self;
        // A child that nobody hears would wait for that.
        let unheard = async {
            let _ = tokio::join!(drain(stdout), drain(stderr));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = tokio::time::timeout(GRACE, child.wait()) => {}
            () = unheard => {}
        }
        self.kill();
        let _ = self.child.wait().await;
    }

    fn kill(&self) {
        // Not after it was waited for: the number may be another's then.
        if let (Some(group), Some(_)) = (self.group, self.child.id()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn drain(from: &mut Option<impl AsyncRead + Unpin>) {
    if let Some(from) = from {
        let _ = tokio::io::copy(from, &mut tokio::io::sink()).await;
    }
}

/// Starts it on a thread that lives as long as the child: what the kernel calls a parent's death is that of the *thread*,
/// and threads of a runtime come and go.
async fn on_a_thread_of_its_own(command: Command) -> io::Result<(Child, mpsc::Sender<()>)> {
    let (alive, ended) = mpsc::channel::<()>();
    let (tell, told) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        let started = {
            // It goes here, and with it our copy of the end of the pipe that the child reads: whoever writes is to learn that
            // nobody reads any more.
            let mut command = command;
            let _inside = runtime.enter();
            command.spawn()
        };
        if tell.send(started).is_ok() {
            // Until the other end is dropped.
            let _ = ended.recv();
        }
    })?;
    let child = told.await.map_err(|_| io::Error::other("the thread ended"))??;
    Ok((child, alive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_has_an_environment_of_its_own() {
        let mut said = Vec::new();
        let call =
            Call { program: Path::new("/usr/bin/env"), arguments: Vec::new(), temporary: Path::new("/tmp") };
        let bounds = Bounds::within(Duration::from_secs(30));
        run(call, Input::Nothing, Output::Document(&mut said, 4096), &bounds).await.unwrap();
        let said = String::from_utf8(said).unwrap();
        let mut names: Vec<_> = said.lines().filter_map(|line| line.split_once('=')).collect();
        names.sort_unstable();
        let expected =
            [("LANG", "C"), ("PATH", PATH), ("RESTIC_PROGRESS_FPS", "1"), ("TMPDIR", "/tmp"), ("TZ", "UTC")];
        assert_eq!(names, expected);
    }

    #[tokio::test]
    async fn a_source_learns_that_nobody_reads_while_the_child_lives() {
        let (tell, told) = oneshot::channel();
        let source: Source = Box::new(move |into| {
            let written = io::copy(&mut io::repeat(0), into).map(drop);
            let _ = tell.send(written.as_ref().err().map(io::Error::kind));
            written
        });
        let arguments = ["-c", "exec <&-; exec sleep 60"].map(OsString::from).to_vec();
        let call = Call { program: Path::new("/bin/sh"), arguments, temporary: Path::new("/tmp") };
        let bounds = Bounds::within(Duration::from_secs(20));
        tokio::select! {
            ended = run(call, Input::Stream(source), Output::Words, &bounds) => panic!("{ended:?}"),
            told = told => assert_eq!(told, Ok(Some(io::ErrorKind::BrokenPipe))),
        }
    }
}
