//! A host that answers each request as a function says.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use super::Server;

/// An answer: status and body.
pub(in crate::push::tests) type Said = (u16, String);

/// A host that answers by `answer`, which sees the request without its body and the number of the connection.
pub(in crate::push::tests) async fn start(
    answer: impl Fn(&Request<()>, u32) -> Said + Send + Sync + 'static,
) -> Server {
    let answer = Arc::new(answer);
    Server::start(move |number, tls| {
        let answer = Arc::clone(&answer);
        async move {
            let Ok(mut connection) = h2::server::handshake(tls).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let (head, mut body) = request.into_parts();
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    while let Some(Ok(part)) = body.data().await {
                        let _ = body.flow_control().release_capacity(part.len());
                    }
                    let (status, text) = answer(&Request::from_parts(head, ()), number);
                    let response = Response::builder().status(status).body(()).expect("a response");
                    if let Ok(mut stream) = respond.send_response(response, false) {
                        let _ = stream.send_data(Bytes::from(text), true);
                    }
                });
            }
        }
    })
    .await
}
