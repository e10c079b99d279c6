//! `/metrics`, `/health` and `/ready` over HTTP, on the loopback unless somebody says otherwise.
//!
//! Invariant: a slow or silent visitor costs a bounded number of connections for a bounded time, and no other visitor its
//! turn: when there are too many, the oldest goes that has not asked anything.

use super::metrics;
use crate::failure::Failure;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use klamm_core::config::{HostPort, Metrics};
use klamm_net::Broker;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Visitors at once.
const VISITORS: usize = 32;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one may take to ask.
const ASKING: Duration = Duration::from_secs(1);

/// A socket that will serve metrics.
#[derive(Debug)]
pub(super) struct Http {
    listener: TcpListener,
    address: SocketAddr,
}

/// Opens the socket. An address that was asked for must be free; the default one is gone without if it is not.
pub(super) async fn open(metrics: &Metrics) -> Result<Option<Http>, Failure> {
    match metrics {
        Metrics::Off => Ok(None),
        Metrics::At(address) => {
            let opened = listen(address).await.map_err(|error| {
                Failure::new(format!(
                    "cannot serve metrics on {address}: {error}; choose another address with --metrics, or --metrics off"
                ))
            })?;
            Ok(Some(opened))
        }
        Metrics::Default(address) => match listen(address).await {
            Ok(opened) => Ok(Some(opened)),
            Err(error) => {
                tracing::warn!("no metrics on {address}: {error}; choose another address with --metrics");
                Ok(None)
            }
        },
    }
}

async fn listen(address: &HostPort) -> std::io::Result<Http> {
    let host = if address.host.is_empty() {
        "0.0.0.0"
    } else {
        &address.host
    };
    let listener = TcpListener::bind((host, address.port)).await?;
    let address = listener.local_addr()?;
    Ok(Http { listener, address })
}

impl Http {
    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the process ends.
    pub(super) async fn serve(self, broker: Arc<Broker>) {
        let mut visitors = Visitors::default();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => visitors.admit(stream, Arc::clone(&broker)),
                Err(error) => {
                    tracing::debug!("metrics: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// Who is being served, the oldest first.
#[derive(Default, Debug)]
struct Visitors(VecDeque<Visitor>);

#[derive(Debug)]
struct Visitor {
    task: AbortHandle,
    has_asked: Arc<AtomicBool>,
}

impl Visitors {
    fn admit(&mut self, stream: TcpStream, broker: Arc<Broker>) {
        self.0.retain(|visitor| !visitor.task.is_finished());
        if self.0.len() >= VISITORS {
            let silent = self
                .0
                .iter()
                .position(|visitor| !visitor.has_asked.load(Ordering::Relaxed));
            if let Some(gone) = self.0.remove(silent.unwrap_or(0)) {
                gone.task.abort();
            }
        }
        let has_asked = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&has_asked);
        let served = tokio::spawn(async move {
            // Whatever a visitor does wrong concerns nobody else.
            let _ = tokio::time::timeout(PATIENCE, visit(stream, &broker, &asked)).await;
        });
        let task = served.abort_handle();
        self.0.push_back(Visitor { task, has_asked });
    }
}

async fn visit(stream: TcpStream, broker: &Broker, asked: &AtomicBool) -> Result<(), hyper::Error> {
    let service = service_fn(|request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let response = answer(request.method(), request.uri().path(), broker);
        async move { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(16 << 10)
        .timer(TokioTimer::new())
        .header_read_timeout(ASKING)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn answer(method: &Method, path: &str, broker: &Broker) -> Response<Full<Bytes>> {
    if method != Method::GET && method != Method::HEAD {
        return respond(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
    }
    match path {
        "/metrics" => respond(
            StatusCode::OK,
            metrics::exposition(&broker.metrics(), broker.is_ready()),
        ),
        "/health" if broker.has_ended() => {
            respond(StatusCode::SERVICE_UNAVAILABLE, "the broker has ended\n".to_owned())
        }
        "/health" => respond(StatusCode::OK, "ok\n".to_owned()),
        "/ready" if broker.is_ready() => respond(StatusCode::OK, "ready\n".to_owned()),
        "/ready" => respond(StatusCode::SERVICE_UNAVAILABLE, "not accepting clients\n".to_owned()),
        _ => respond(
            StatusCode::NOT_FOUND,
            "there are /metrics, /health and /ready\n".to_owned(),
        ),
    }
}

fn respond(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
