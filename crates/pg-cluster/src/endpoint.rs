//! How a client reaches the server: role, port and URL.

/// The superuser that [`Cluster::url`](crate::Cluster::url) connects as, and the owner of all databases.
pub const ROLE: &str = "hallmark";

/// The number in the socket's name. Nothing listens on a TCP port.
pub(crate) const PORT: u16 = 5432;

/// Returns the URL of a database for a role, for libpq and for sqlx.
pub(crate) fn url(socket_directory: &str, role: &str, password: &str, database: &str) -> String {
    let (role, password) = (encode(role), encode(password));
    let (database, host) = (encode(database), encode(socket_directory));
    format!("postgres://{role}:{password}@localhost/{database}?host={host}&port={PORT}")
}

/// Percent-encodes all that is not unreserved in a URL.
fn encode(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn a_url_is_encoded() {
        assert_eq!(
            url("/tmp/a b,c", "hall mark", "0f", "my db?"),
            "postgres://hall%20mark:0f@localhost/my%20db%3F?host=%2Ftmp%2Fa%20b%2Cc&port=5432"
        );
    }
}
