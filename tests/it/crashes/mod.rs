//! The promises again, on a gateway that is killed, or asked to end, while it works.
//!
//! The simulator lives on in this process, so that it sees what is pushed before and after.

mod answers;
mod ends;
mod gaps;
mod lines;
mod rings;
mod stop;
