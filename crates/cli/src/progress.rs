//! What is going on, on standard error: a line that is rewritten in place on a terminal, plain lines elsewhere.

use std::future::Future;
use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

/// The line that stands on the terminal now.
static LINE: Mutex<Option<String>> = Mutex::new(None);

/// After how long a wait is worth a word on a terminal, and how often it is rewritten.
const BEAT: Duration = Duration::from_millis(250);
/// The same where every word stays.
const SLOW_BEAT: Duration = Duration::from_secs(10);

/// Whether a line can be rewritten in place.
pub(crate) fn is_live() -> bool {
    io::stderr().is_terminal()
}

/// Shows this line in place of the one before; nothing where no line can be rewritten.
pub(crate) fn show(text: String) {
    if is_live() {
        let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
        draw(&text);
        *line = Some(text);
    }
}

/// Takes the line away.
pub(crate) fn clear() {
    let mut line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    if line.take().is_some() {
        draw("");
    }
}

/// Writes to the terminal without mixing it with the line.
pub(crate) fn above<T>(write: impl FnOnce() -> T) -> T {
    let line = LINE.lock().unwrap_or_else(PoisonError::into_inner);
    if line.is_some() {
        draw("");
    }
    let result = write();
    if let Some(line) = line.as_deref() {
        draw(line);
    }
    result
}

/// Waits, and says for what and for how long.
pub(crate) async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    let (began, live) = (Instant::now(), is_live());
    let mut work = pin!(work);
    let beat = if live { BEAT } else { SLOW_BEAT };
    loop {
        match timeout(beat, &mut work).await {
            Ok(result) => {
                clear();
                return result;
            }
            Err(_) if live => show(format!("{what} … {} s", began.elapsed().as_secs())),
            Err(_) => crate::output::note(format!("{what} … {} s", began.elapsed().as_secs())),
        }
    }
}

/// Without wrapping, since only one line can be taken away again.
fn draw(text: &str) {
    let mut stderr = io::stderr().lock();
    // What cannot be shown is not missed.
    let _ = write!(stderr, "\r\u{1b}[2K");
    if !text.is_empty() {
        let _ = write!(stderr, "\u{1b}[?7l{text}\u{1b}[?7h");
    }
    let _ = stderr.flush();
}
