//! The URLs of a Redis store: one server, servers behind Sentinel, a cluster.
//!
//! A URL of several hosts is none of RFC 3986, so it is taken apart here. Why one is refused is always a fixed text, so
//! no password can get into it. What stands beside the URL in the section is left to [`store`](super::store).

use std::fmt;
use std::net::Ipv6Addr;

use data_encoding::HEXUPPER_PERMISSIVE;

use super::Secret;
use super::store::{Node, Redis, Topology};

/// Where Redis listens, <https://redis.io/docs/latest/operate/oss_and_stack/management/config-file/>.
const REDIS_PORT: u16 = 6379;
/// Where Sentinel listens, <https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/>.
const SENTINEL_PORT: u16 = 26379;

const ENCODING: &str = "in the user and password, : / ? # @ and % must be written as %3A %2F %3F %23 %40 and %25";
const ONE_HOST: &str = "redis:// and rediss:// name one host; redis-sentinel:// and redis-cluster:// name several";
const HOST: &str = "each host must be a name, an IPv4 address or an IPv6 address in brackets, then an optional :port";
const PORT: &str = "a port must be a number from 1 to 65535";
const DATABASE: &str = "the database after the / must be a number from 0 to 65535";
const MASTER: &str = "redis-sentinel:// needs the master's name after the hosts, of letters, digits, . - and _";
const NO_DATABASE: &str = "redis-cluster:// has no database, since a cluster has only one";
const NO_PARAMETER: &str = "redis:// and rediss:// take no ? parameters; TLS is rediss://";
const PARAMETER: &str = "the only ? parameter is tls=true or tls=false";

/// What a URL is made of.
pub(super) struct Parts<'a> {
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub hosts: &'a str,
    pub path: &'a str,
    pub query: Option<&'a str>,
}

/// Reads a URL, or says why it is none; `None` if it has another scheme.
pub(super) fn read(url: &str) -> Option<Result<Redis, &'static str>> {
    let (scheme, rest) = url.split_once("://")?;
    let read: fn(Parts) -> _ = match scheme {
        "redis" => |parts| single(parts, false),
        "rediss" => |parts| single(parts, true),
        "redis-sentinel" => sentinel,
        "redis-cluster" => cluster,
        _ => return None,
    };
    Some(Parts::of(rest).and_then(read))
}

fn single(parts: Parts, tls: bool) -> Result<Redis, &'static str> {
    if parts.query.is_some() {
        return Err(NO_PARAMETER);
    }
    if parts.hosts.contains(',') {
        return Err(ONE_HOST);
    }
    let database = database(parts.path)?;
    Ok(Redis { tls, database, ..parts.redis(Topology::Single, REDIS_PORT)? })
}

fn sentinel(parts: Parts) -> Result<Redis, &'static str> {
    let (master, path) = parts.path.split_once('/').unwrap_or((parts.path, ""));
    let topology = Topology::Sentinel { master: name(master).ok_or(MASTER)?, username: None, password: None };
    let (tls, database) = (tls(parts.query)?, database(path)?);
    Ok(Redis { tls, database, ..parts.redis(topology, SENTINEL_PORT)? })
}

fn cluster(parts: Parts) -> Result<Redis, &'static str> {
    if !parts.path.is_empty() {
        return Err(NO_DATABASE);
    }
    let tls = tls(parts.query)?;
    Ok(Redis { tls, ..parts.redis(Topology::Cluster, REDIS_PORT)? })
}

impl<'a> Parts<'a> {
    /// What follows the scheme.
    pub fn of(rest: &'a str) -> Result<Self, &'static str> {
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        // The password was cut in two.
        if path.contains('@') || query.is_some_and(|query| query.contains('@')) {
            return Err(ENCODING);
        }
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        let (username, password) = user_info.map_or(Ok((None, None)), credentials)?;
        Ok(Self { username, password, hosts, path, query })
    }

    /// What is the same for every topology.
    fn redis(self, topology: Topology, default_port: u16) -> Result<Redis, &'static str> {
        let nodes = self.hosts.split(',').map(|host| node(host, default_port)).collect::<Result<_, _>>()?;
        Ok(Redis {
            topology,
            nodes,
            tls: false,
            username: self.username,
            password: self.password,
            database: 0,
            ca_file: None,
            key_prefix: String::new(),
        })
    }
}

fn credentials(user_info: &str) -> Result<(Option<String>, Option<Secret>), &'static str> {
    let (username, password) = match user_info.split_once(':') {
        Some((username, password)) => (decode(username)?, Some(decode(password)?)),
        None => (decode(user_info)?, None),
    };
    if password.as_deref().unwrap_or(&username).is_empty() {
        return Err("the user or password before the @ is empty");
    }
    Ok(((!username.is_empty()).then_some(username), password.map(Secret::new)))
}

pub(super) fn node(text: &str, default_port: u16) -> Result<Node, &'static str> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    let (host, port) = if let Some((address, port)) = bracketed {
        (address.parse::<Ipv6Addr>().map_err(|_| HOST)?.to_string(), port)
    } else {
        let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (name(host).ok_or(HOST)?, port)
    };
    let port = match port.strip_prefix(':') {
        Some(port) => number(port).filter(|port| *port != 0).ok_or(PORT)?,
        None if port.is_empty() => default_port,
        None => return Err(HOST),
    };
    Ok(Node { host, port })
}

/// The name of a host, or of a master as sentinel.conf allows it. An underscore is in no host name of the Internet, but in
/// those of containers.
fn name(text: &str) -> Option<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    (!text.is_empty() && text.chars().all(good)).then(|| text.to_owned())
}

fn database(path: &str) -> Result<u16, &'static str> {
    if path.is_empty() { Ok(0) } else { number(path).ok_or(DATABASE) }
}

fn tls(query: Option<&str>) -> Result<bool, &'static str> {
    match query {
        None | Some("tls=false") => Ok(false),
        Some("tls=true") => Ok(true),
        Some(_) => Err(PARAMETER),
    }
}

/// A number of digits only; the standard library would let a + pass.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Undoes percent-encoding. What had to be encoded and was not is refused, lest another program reads the URL otherwise.
pub(super) fn decode(text: &str) -> Result<String, &'static str> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2).ok_or(ENCODING)?;
        bytes.extend(HEXUPPER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| ENCODING)?);
        bytes.extend(rest.as_bytes());
    }
    if text.contains(['#', '@']) { Err(ENCODING) } else { String::from_utf8(bytes).map_err(|_| ENCODING) }
}

/// Percent-encodes all but the characters that RFC 3986 calls unreserved.
pub(super) fn encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// The URL with every port and database, and without the password.
impl fmt::Display for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.topology, self.tls) {
            (Topology::Single, false) => "redis://",
            (Topology::Single, true) => "rediss://",
            (Topology::Sentinel { .. }, _) => "redis-sentinel://",
            (Topology::Cluster, _) => "redis-cluster://",
        })?;
        if let Some(username) = &self.username {
            write!(f, "{}@", encode(username))?;
        }
        for (index, node) in self.nodes.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{node}")?;
        }
        match &self.topology {
            Topology::Single => return write!(f, "/{}", self.database),
            Topology::Sentinel { master, .. } => write!(f, "/{master}/{}", self.database)?,
            Topology::Cluster => {}
        }
        if self.tls { f.write_str("?tls=true") } else { Ok(()) }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
