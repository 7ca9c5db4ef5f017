//! The port of the REST API: it accepts connections, and can be closed and opened again on order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Cut, Reply, Request};
use crate::device::Device;
use crate::sync::lock;

/// How much of an answer is given out at once.
const PIECE: usize = 16 * 1024;
/// How much of it may wait to be sent. Also the most that the head of a request may be.
const BUFFER: usize = 4 * PIECE;

/// Opens and closes the port.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    orders: mpsc::Sender<(bool, oneshot::Sender<io::Result<()>>)>,
}

impl Gate {
    /// Closes the port and every connection, or opens it again. Done when it returns.
    pub(crate) async fn set_open(&self, open: bool) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let gone = || io::Error::other("the listener has ended");
        self.orders.send((open, done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Listens until `end`.
pub(crate) async fn listen(
    device: Arc<Device>,
    acceptor: TlsAcceptor,
    address: SocketAddr,
    end: CancellationToken,
) -> io::Result<(SocketAddr, Gate)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let (orders, received) = mpsc::channel(1);
    let port = Port { device, acceptor, address, end };
    tokio::spawn(port.run(listener, received));
    Ok((address, Gate { orders }))
}

struct Port {
    device: Arc<Device>,
    acceptor: TlsAcceptor,
    address: SocketAddr,
    end: CancellationToken,
}

impl Port {
    async fn run(
        self,
        listener: TcpListener,
        mut orders: mpsc::Receiver<(bool, oneshot::Sender<io::Result<()>>)>,
    ) {
        let mut listener = Some(listener);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = self.end.cancelled() => return,
                order = orders.recv() => {
                    let Some((open, done)) = order else { return };
                    let outcome = if open {
                        self.reopen(&mut listener).await
                    } else {
                        listener = None;
                        connections.shutdown().await;
                        Ok(())
                    };
                    let _ = done.send(outcome);
                }
                Some(_) = connections.join_next() => {}
                accepted = accept(listener.as_ref()) => {
                    if let Ok((stream, peer)) = accepted {
                        connections.spawn(serve(self.device.clone(), self.acceptor.clone(), stream, peer));
                    }
                }
            }
        }
    }

    async fn reopen(&self, listener: &mut Option<TcpListener>) -> io::Result<()> {
        if listener.is_none() {
            *listener = Some(TcpListener::bind(self.address).await?);
        }
        Ok(())
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// One connection. Whatever ends it is the client's matter.
async fn serve(device: Arc<Device>, acceptor: TlsAcceptor, stream: TcpStream, peer: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| {
        let device = device.clone();
        async move { respond(&device, request, peer).await }
    });
    let _ = http1::Builder::new().max_buf_size(BUFFER).serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(
    device: &Arc<Device>,
    request: HttpRequest<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Sending>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes().to_vec();
    let open = Open::new(device);
    let delay = lock(&device.orders).delay;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let request = Request::new(head.method.as_str(), &head.uri, head.headers, body, peer.ip());
    api::answer(device, &request).map(|reply| into_response(reply).map(|left| Sending { left, _open: open }))
}

/// A request that has come and is not answered.
struct Open(Arc<Device>);

impl Open {
    fn new(device: &Arc<Device>) -> Self {
        lock(&device.stats).come();
        Self(device.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        lock(&self.0.stats).answered();
    }
}

/// An answer on its way, in pieces as the other side takes them: the request is answered when the last has gone.
struct Sending {
    left: Bytes,
    _open: Open,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.left.len().min(PIECE);
        let piece = self.left.split_to(piece);
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

fn into_response(reply: Reply) -> Response<Bytes> {
    let mut response = Response::builder().status(reply.status).header("content-type", reply.content_type);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Bytes::from(reply.body)).unwrap_or_default()
}

/// Serves plain HTTP with an answer that cannot fail: the admin port.
pub(crate) async fn serve_plain<Answer, Future>(listener: TcpListener, end: CancellationToken, answer: Answer)
where
    Answer: Fn(Request) -> Future + Clone + Send + Sync + 'static,
    Future: std::future::Future<Output = Reply> + Send,
{
    while let Some(accepted) = end.run_until_cancelled(listener.accept()).await {
        let Ok((stream, peer)) = accepted else { continue };
        let answer = answer.clone();
        let service = service_fn(move |request: HttpRequest<Incoming>| {
            let answer = answer.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
                let request = Request::new(head.method.as_str(), &head.uri, head.headers, body, peer.ip());
                Ok::<_, Infallible>(into_response(answer(request).await).map(Full::new))
            }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let ended = end.clone();
        tokio::spawn(async move { ended.run_until_cancelled(serving).await });
    }
}
