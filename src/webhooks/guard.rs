//! Where requests of ours may go: to the world outside, never to the machine itself or its network.
//!
//! A name is looked up once, by the client that connects, and it connects to what was checked: a second answer of a name
//! server that changes its mind is never asked for. Redirects are not followed.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};

/// Looks a name up.
pub type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// Tells addresses outside from those inside.
#[derive(Clone)]
pub struct Guard {
    /// Hosts that may be inside, by the operator's word.
    known: Arc<[String]>,
    lookup: Lookup,
}

impl Guard {
    /// A guard that lets these hosts be anywhere.
    pub fn new(private_hosts: &[String]) -> Self {
        let system: Lookup = Arc::new(|name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) })
        });
        Self { known: private_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(), lookup: system }
    }

    /// The same with another way to look names up.
    pub fn looking_up(self, lookup: Lookup) -> Self {
        Self { lookup, ..self }
    }

    /// A client that connects to nothing inside.
    ///
    /// # Errors
    /// TLS that cannot be set up.
    pub fn client(&self, timeout: Duration) -> reqwest::Result<Client> {
        let client = Client::builder().timeout(timeout).redirect(Policy::none()).no_proxy();
        client.dns_resolver(Arc::new(self.clone())).user_agent(concat!("darkroom/", env!("CARGO_PKG_VERSION"))).build()
    }

    /// An address that is a number is outside; names are looked up when the client connects.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        let number: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
        match number {
            Some(address) if !is_outside(address) && !self.knows(host) => Err(inside(host)),
            None if host.trim_end_matches('.').ends_with("localhost") && !self.knows(host) => Err(inside(host)),
            _ => Ok(()),
        }
    }

    fn knows(&self, host: &str) -> bool {
        self.known.iter().any(|known| *known == host.to_ascii_lowercase())
    }

    async fn look_up(&self, name: String) -> Result<Vec<SocketAddr>, String> {
        let found = (self.lookup)(name.clone()).await.map_err(|error| error.to_string())?;
        if !self.knows(&name) && found.iter().any(|address| !is_outside(*address)) {
            return Err(inside(&name));
        }
        Ok(found.into_iter().map(|address| SocketAddr::new(address, 0)).collect())
    }
}

fn inside(host: &str) -> String {
    format!("`{host}` is inside the server's own network; webhooks.private_hosts may allow it")
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.look_up(name.as_str().to_owned()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public internet (the registries of RFC 6890).
pub fn is_outside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_outside_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => is_outside_v4(inner),
            None => is_outside_v6(address),
        },
    }
}

fn is_outside_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = (a, b, c) == (192, 0, 0) || (a, b, c) == (192, 88, 99);
    let benchmarks = a == 198 && (b == 18 || b == 19);
    !(special || a == 0 || a >= 240 || shared || protocols || benchmarks)
}

/// Only global unicast, less what is set apart in it.
fn is_outside_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let global = first & 0xe000 == 0x2000;
    let set_apart = first == 0x2001 && (second < 0x0200 || second == 0x0db8) || first == 0x3fff && second < 0x1000;
    global && !set_apart
}

/// The IPv4 address that an IPv6 one leads to: mapped, translated (RFC 6052), 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        [0x2002, high, low, ..] => Some(pair(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        _ => None,
    }
}
