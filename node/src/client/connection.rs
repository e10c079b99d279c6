//! One connection to one broker.
//!
//! Invariants: requests are answered in the order sent; a version is used only if the broker named it. What is allocated
//! for a response follows the bytes that came, not the length that it claims. Nothing is waited for without a limit: a peer
//! that neither sends nor takes anything for its [`Patience`] has an error for answer.

use super::ClientError;
use super::cluster::text;
use bytes::{Bytes, BytesMut};
use klamm_core::config::HostPort;
use klamm_core::types::{ErrorCode, Part};
use klamm_core::wire::message::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use klamm_core::wire::versions::ApiKey;
use klamm_core::wire::{Message, Role, Text, frame};
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest response that is accepted, in bytes.
const MAX_RESPONSE: usize = 1 << 30;
/// The largest answer to the question for versions: whoever claims more is no broker.
const MAX_VERSIONS: usize = 1 << 20;
/// How much a buffer grows at a time, in bytes.
const GROWTH: usize = 1 << 20;

/// Versions of an API: the oldest and the newest, both included.
pub type Range = (i16, i16);

/// The versions this client speaks: those that brokers of many years share, and that name topics rather than ids.
pub const fn spoken(api: ApiKey) -> Option<Range> {
    Some(match api {
        ApiKey::Produce => (3, 9),
        ApiKey::Fetch => (4, 12),
        ApiKey::ListOffsets => (1, 7),
        ApiKey::Metadata => (1, 12),
        ApiKey::CreateTopics => (2, 7),
        ApiKey::DeleteTopics => (1, 5),
        ApiKey::DescribeConfigs => (1, 4),
        ApiKey::IncrementalAlterConfigs => (0, 1),
        ApiKey::CreatePartitions => (0, 3),
        ApiKey::DeleteRecords => (0, 2),
        ApiKey::InitProducerId => (0, 4),
        _ => return None,
    })
}

/// How long a broker may neither send nor take anything while something is asked of it. Requests give a broker half a
/// minute for what they ask, so it should be longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience(pub Duration);

impl Patience {
    /// How long it may take to be connected, at most: Kafka's `socket.connection.setup.timeout.ms`.
    const CONNECT: Duration = Duration::from_secs(10);
    /// How long the first answer may take, at most: an address that takes connections and is no broker's often says nothing.
    const FIRST: Duration = Duration::from_secs(15);
}

impl Default for Patience {
    fn default() -> Self {
        Self(Duration::from_secs(40))
    }
}

/// A connection whose broker's versions are known.
#[derive(Debug)]
pub struct Connection {
    patience: Duration,
    address: HostPort,
    stream: TcpStream,
    client_id: Text,
    versions: BTreeMap<i16, Range>,
    correlation: i32,
    buffer: BytesMut,
}

impl Connection {
    /// Connects, and asks which versions the broker speaks.
    pub async fn open(address: &HostPort, client_id: &str, patience: Patience) -> Result<Self, ClientError> {
        let connect = async {
            let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let connected = within(patience.0.min(Patience::CONNECT), connect).await;
        let stream = connected.map_err(|error| ClientError::Connect {
            address: address.clone(),
            error,
        })?;
        let mut connection = Self {
            patience: patience.0.min(Patience::FIRST),
            address: address.clone(),
            stream,
            client_id: text(client_id),
            versions: BTreeMap::new(),
            correlation: 0,
            buffer: BytesMut::new(),
        };
        connection.negotiate().await?;
        connection.patience = patience.0;
        Ok(connection)
    }

    /// Asks in version 3 and, if the broker is older, in version 0 (KIP-511).
    async fn negotiate(&mut self) -> Result<(), ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: Text::from("klamm"),
            client_software_version: Text::from(env!("CARGO_PKG_VERSION")),
            ..ApiVersionsRequest::default()
        };
        let correlation = self.send(&request, 3).await?;
        let answer = self.receive().await?;
        let unsupported = ErrorCode::UnsupportedVersion.code();
        let (id, response) = match frame::decode_response::<ApiVersionsResponse>(&answer, 3) {
            Ok(decoded) if decoded.1.error_code != unsupported => decoded,
            _ => {
                let (_, old) = frame::decode_response::<ApiVersionsResponse>(&answer, 0)?;
                if old.error_code != unsupported {
                    return Err(ClientError::refused("asking for versions", old.error_code, None));
                }
                return self.negotiate_oldest().await;
            }
        };
        self.adopt(id, correlation, &response)
    }

    async fn negotiate_oldest(&mut self) -> Result<(), ClientError> {
        let correlation = self.send(&ApiVersionsRequest::default(), 0).await?;
        let answer = self.receive().await?;
        let (id, response) = frame::decode_response::<ApiVersionsResponse>(&answer, 0)?;
        self.adopt(id, correlation, &response)
    }

    fn adopt(&mut self, id: i32, correlation: i32, response: &ApiVersionsResponse) -> Result<(), ClientError> {
        self.check(id, correlation)?;
        if response.error_code != 0 {
            return Err(ClientError::refused("asking for versions", response.error_code, None));
        }
        let range = |key: &klamm_core::wire::message::api_versions::ApiVersion| {
            (key.api_key, (key.min_version, key.max_version))
        };
        self.versions = response.api_keys.iter().map(range).collect();
        Ok(())
    }

    /// The newest version of an API that both sides speak.
    pub fn version(&self, api: ApiKey) -> Result<i16, ClientError> {
        let unsupported = ClientError::Unsupported { api: api.name() };
        let (Some((oldest, newest)), Some(&(least, most))) = (spoken(api), self.versions.get(&api.code())) else {
            return Err(unsupported);
        };
        let version = newest.min(most);
        if version < oldest.max(least) {
            Err(unsupported)
        } else {
            Ok(version)
        }
    }

    /// The broker's address.
    pub fn address(&self) -> &HostPort {
        &self.address
    }

    /// What this client calls itself.
    pub fn client_id(&self) -> &Text {
        &self.client_id
    }

    /// Asks in the newest version that both sides speak, and waits for the answer.
    pub async fn call<Q: Message, R: Message>(&mut self, request: &Q) -> Result<R, ClientError> {
        let version = self.version(api_of::<Q>()?)?;
        let correlation = self.send(request, version).await?;
        let answer = self.receive().await?;
        let (id, response) = frame::decode_response::<R>(&answer, version)?;
        self.check(id, correlation)?;
        Ok(response)
    }

    /// Sends a request and does not wait; returns its correlation id.
    pub async fn send<Q: Message>(&mut self, request: &Q, version: i16) -> Result<i32, ClientError> {
        self.correlation = self.correlation.wrapping_add(1);
        let parts = frame::encode_request(self.correlation, Some(&self.client_id), request, version)?;
        for part in &parts {
            let Part::Inline(bytes) = part else {
                return Err(ClientError::Unexpected(
                    "a request cannot hold ranges of files".to_owned(),
                ));
            };
            self.send_bytes(bytes).await?;
        }
        Ok(self.correlation)
    }

    /// Sends bytes that are whole requests already.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.send_parts(&[bytes]).await
    }

    /// Sends the parts of one request without joining them.
    pub async fn send_parts(&mut self, parts: &[&[u8]]) -> Result<(), ClientError> {
        let mut slices: Vec<io::IoSlice<'_>> = parts.iter().map(|part| io::IoSlice::new(part)).collect();
        let mut left = slices.as_mut_slice();
        io::IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let written = within(self.patience, self.stream.write_vectored(left)).await;
            match written {
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into())),
                Ok(count) => io::IoSlice::advance_slices(&mut left, count),
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// Waits for the next response; without its length.
    pub async fn receive(&mut self) -> Result<Bytes, ClientError> {
        loop {
            if let Some(answer) = self.received()? {
                return Ok(answer);
            }
            self.fill().await?;
        }
    }

    /// The next response if it is here already.
    pub fn received(&mut self) -> Result<Option<Bytes>, ClientError> {
        let Some(&length) = self.buffer.first_chunk::<{ frame::LENGTH_BYTES }>() else {
            return Ok(None);
        };
        let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
        let most = if self.versions.is_empty() {
            MAX_VERSIONS
        } else {
            MAX_RESPONSE
        };
        if length > most {
            let text = format!(
                "{} sent {length} bytes as a length: is it a Kafka broker?",
                self.address
            );
            return Err(ClientError::Unexpected(text));
        }
        let whole = frame::LENGTH_BYTES + length;
        if self.buffer.len() < whole {
            let missing = whole - self.buffer.len();
            self.buffer.reserve(missing.min(GROWTH.max(self.buffer.len())));
            return Ok(None);
        }
        let mut answer = self.buffer.split_to(whole).freeze();
        Ok(Some(answer.split_off(frame::LENGTH_BYTES)))
    }

    /// Waits until more bytes are here.
    pub async fn fill(&mut self) -> Result<(), ClientError> {
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(64 << 10);
        }
        match within(self.patience, self.stream.read_buf(&mut self.buffer)).await {
            Ok(0) => Err(self.failed(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: io::Error) -> ClientError {
        let address = self.address.clone();
        let patience = self.patience;
        match error.kind() {
            io::ErrorKind::TimedOut if self.versions.is_empty() => ClientError::Mute { address, patience },
            io::ErrorKind::TimedOut => ClientError::Silent { address, patience },
            _ => ClientError::Io { address, error },
        }
    }

    fn check(&self, id: i32, correlation: i32) -> Result<(), ClientError> {
        if id == correlation {
            return Ok(());
        }
        let text = format!("{} answered request {id} where {correlation} was asked", self.address);
        Err(ClientError::Unexpected(text))
    }
}

/// Waits for `work` so long.
async fn within<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(patience, work).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// The API that a request belongs to.
fn api_of<Q: Message>() -> Result<ApiKey, ClientError> {
    match Q::SCHEMA.role {
        Role::Request(key) => ApiKey::from_code(key).ok_or(ClientError::Unsupported { api: Q::SCHEMA.name() }),
        _ => Err(ClientError::Unexpected(format!(
            "{} is not a request",
            Q::SCHEMA.name()
        ))),
    }
}
