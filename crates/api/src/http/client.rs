//! Who a request is from, for limits that anonymous callers have, too.

use std::net::{IpAddr, Ipv6Addr};

use poem::Request;

/// The client of a request: an address as text, or what a proxy calls its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) String);

impl Client {
    /// Returns the name of the client that the middleware found; empty without it.
    pub(crate) fn named(request: &Request) -> &str {
        request.data::<Self>().map_or("", |client| client.0.as_str())
    }

    /// Returns the client: as the proxy names it, if a header is configured, else the address of the connection.
    pub(crate) fn of(request: &Request, header: Option<&str>) -> Self {
        let named = header
            .and_then(|name| request.headers().get_all(name).iter().next_back())
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.rsplit(',').next())
            .map(str::trim);
        if let Some(named) = named {
            let address = named.parse::<IpAddr>();
            return Self(address.map_or_else(|_| named.to_owned(), |address| network(address).to_string()));
        }
        let remote = request.remote_addr();
        Self(
            remote
                .as_socket_addr()
                .map_or_else(|| remote.to_string(), |address| network(address.ip()).to_string()),
        )
    }
}

/// Returns the address that stands for a client: a host with IPv6 has a whole /64 (RFC 6177).
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // proves ISO-5
    #[test]
    fn a_client_of_ipv6_is_its_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.2"), of("10.0.0.1"));
    }

    #[test]
    fn the_last_entry_of_the_proxys_header_is_the_client() {
        let request = |value: &str| Request::builder().header("x-forwarded-for", value).finish();
        let of = |value: &str| Client::of(&request(value), Some("x-forwarded-for")).0;
        assert_eq!(of("10.9.9.9, 10.0.0.1"), "10.0.0.1");
        assert_eq!(of("10.0.0.1"), "10.0.0.1");
        assert_eq!(of("2001:db8::1:2:3:4"), "2001:db8::");
        assert_eq!(of("lab"), "lab");
    }
}
