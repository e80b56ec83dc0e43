//! The event stream, over SSE and WebSocket.

mod closing;
mod order;
mod resume;
mod stream;
