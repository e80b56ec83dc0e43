//! Lines on their way out: gathered for a moment, and written together by a thread of its own.
//!
//! Whoever logs never waits for whoever reads the log, so a collector that hangs stops no call; and a system call serves many lines. What a
//! line says is left to whoever logs it.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long the first line waits for others. So much of the log is lost when the process is killed.
const GATHER_FOR: Duration = Duration::from_millis(10);
/// How many bytes wait at the most for whoever reads; lines beyond are lost, and counted.
const MOST_WAITING: usize = 4 << 20;
/// How long the last lines may take.
const LAST_WITHIN: Duration = Duration::from_secs(1);

/// Takes lines. Clones share everything.
#[derive(Clone)]
pub(super) struct Gathered(Arc<Shared>);

/// Writes out what was gathered when it is dropped, if anybody takes it soon.
#[must_use = "lines are written until it is dropped"]
pub struct Writing(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write, or nothing more will come.
    more: Condvar,
    /// The last line is written.
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    /// Nothing more will come.
    is_over: bool,
    /// Everything is written.
    is_written: bool,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines, gathers more, and puts them in `lines`; says how many were lost. Nothing, when nothing more will come.
    fn gather(&self, lines: &mut Vec<u8>) -> Option<u64> {
        let nothing = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.is_over;
        let waiting = self.more.wait_while(self.waiting(), nothing).unwrap_or_else(PoisonError::into_inner);
        let goes_on = |waiting: &mut Waiting| !waiting.is_over;
        let gathered = self.more.wait_timeout_while(waiting, GATHER_FOR, goes_on);
        let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        lines.clear();
        std::mem::swap(lines, &mut waiting.lines);
        let lost = std::mem::take(&mut waiting.lost);
        (lost > 0 || !lines.is_empty()).then_some(lost)
    }

    fn write_to(&self, mut output: impl Write) {
        let (mut lines, mut lost) = (Vec::new(), 0);
        while let Some(too_many) = self.gather(&mut lines) {
            let unwritten = write(&mut output, &lines);
            lost += too_many + unwritten;
            // A line about it while nothing can be written would be lost as well, and begin this again, without end.
            if lost > 0 && unwritten == 0 {
                tracing::warn!(lost, "lines of the log were lost: nobody took them in time");
                lost = 0;
            }
        }
        self.waiting().is_written = true;
        self.written.notify_all();
    }
}

/// Writes lines; says how many could not be, which ends one of which some is written.
fn write(output: &mut impl Write, lines: &[u8]) -> u64 {
    let mut rest = lines;
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(0) => break,
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(GATHER_FOR),
            Err(_) => break,
        }
    }
    let begins_a_line = lines.len() == rest.len() || lines[..lines.len() - rest.len()].ends_with(b"\n");
    // Where else should it be told that the log cannot be written?
    let _ = if begins_a_line { Ok(()) } else { output.write_all(b"\n") }.and_then(|()| output.flush());
    rest.split_inclusive(|byte| *byte == b'\n').count() as u64
}

/// Begins to write lines there.
pub(super) fn gather(output: impl Write + Send + 'static) -> io::Result<(Gathered, Writing)> {
    let shared = Arc::new(Shared::default());
    let writer = Arc::clone(&shared);
    thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_to(output))?;
    Ok((Gathered(Arc::clone(&shared)), Writing(shared)))
}

impl Write for Gathered {
    /// Takes a line whole, or loses it.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.waiting();
        if waiting.lines.len() + line.len() > MOST_WAITING {
            waiting.lost += 1;
            return Ok(line.len());
        }
        let is_first = waiting.lines.is_empty();
        waiting.lines.extend_from_slice(line);
        drop(waiting);
        // It waits for the first one alone.
        if is_first {
            self.0.more.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.is_over = true;
        self.0.more.notify_one();
        let _ = self.0.written.wait_timeout_while(waiting, LAST_WITHIN, |waiting| !waiting.is_written);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Says what is written, and goes on when it is let.
    struct Slow {
        written: Sender<Vec<u8>>,
        goes_on: Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.written.send(bytes.to_vec());
            let _ = self.goes_on.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_out_in_their_order_and_whole_and_the_last_ones_at_the_end() {
        let (written, out) = channel();
        let (go_on, goes_on) = channel();
        drop(go_on);
        let (mut lines, writing) = gather(Slow { written, goes_on }).expect("a thread");
        for number in 0..10_000 {
            lines.write_all(format!("{number}\n").as_bytes()).expect("taken");
        }
        drop(writing);
        let out: Vec<u8> = out.try_iter().flatten().collect();
        let out = String::from_utf8(out).expect("text");
        assert!(out.lines().map(str::parse).eq((0..10_000).map(Ok::<u32, _>)), "{out}");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_next_line_begins_anew() {
        /// Takes ten bytes, fails once, and goes on.
        #[derive(Default)]
        struct Full(Vec<u8>, bool);

        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0.len() == 10 && !std::mem::replace(&mut self.1, true) {
                    return Err(io::Error::from(ErrorKind::StorageFull));
                }
                let taken = if self.1 { bytes.len() } else { bytes.len().min(10 - self.0.len()) };
                self.0.extend_from_slice(&bytes[..taken]);
                Ok(taken)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        let mut output = Full::default();
        assert_eq!(write(&mut output, b"first\nsecond\nthird\n"), 2);
        assert_eq!(write(&mut output, b"fourth\n"), 0);
        assert_eq!(output.0, b"first\nseco\nfourth\n");
    }

    #[test]
    fn who_logs_does_not_wait_for_who_reads_and_lines_that_are_too_many_are_lost_whole() {
        let (written, out) = channel();
        let (go_on, goes_on) = channel();
        let (mut lines, writing) = gather(Slow { written, goes_on }).expect("a thread");
        lines.write_all(b"first\n").expect("taken");
        assert_eq!(out.recv().expect("a line"), b"first\n");
        // Nobody reads now.
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..2 * MOST_WAITING / line.len() {
            lines.write_all(&line).expect("taken or lost");
        }
        let lost = lines.0.waiting().lost;
        assert_eq!(lost, (MOST_WAITING / line.len()) as u64);
        drop(go_on);
        drop(writing);
        let rest: Vec<u8> = out.try_iter().flatten().collect();
        assert_eq!(rest.len(), MOST_WAITING);
        assert!(rest.chunks(line.len()).all(|chunk| chunk == line));
    }
}
