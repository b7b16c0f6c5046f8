//! Several servers in one URL, as libpq takes them: `postgres://user@one:5432,two,three:5433/database`. One of them is the
//! primary; which one is found out by asking.

use super::super::StoreError;

/// The most servers that a URL may name.
const MOST: usize = 8;

/// One URL for each server, in order.
///
/// # Errors
/// Too many, or one without a name.
pub(super) fn each(url: &str) -> Result<Vec<String>, StoreError> {
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(vec![url.to_owned()]) };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, after) = rest.split_at(end);
    let (account, hosts) = match authority.rsplit_once('@') {
        Some((account, hosts)) => (format!("{account}@"), hosts),
        None => (String::new(), authority),
    };
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > MOST {
        return Err(wrong(&format!("{} servers are named, {MOST} at most are allowed", hosts.len())));
    }
    // A single one without a name is a socket: `postgres:///database?host=/run/postgresql`.
    if hosts.len() > 1 && hosts.iter().any(|host| host.is_empty()) {
        return Err(wrong("a server between the commas has no name"));
    }
    Ok(hosts.iter().map(|host| format!("{scheme}://{account}{host}{after}")).collect())
}

fn wrong(why: &str) -> StoreError {
    StoreError::Database(sqlx::Error::Configuration(format!("store.url: {why}").into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_server_gets_account_database_and_parameters() {
        let urls = each("postgres://u:p%40,x@one:5432,[::1]:5433,three/ledger?sslmode=verify-full").unwrap();
        assert_eq!(
            urls,
            [
                "postgres://u:p%40,x@one:5432/ledger?sslmode=verify-full",
                "postgres://u:p%40,x@[::1]:5433/ledger?sslmode=verify-full",
                "postgres://u:p%40,x@three/ledger?sslmode=verify-full",
            ]
        );
        let socket = "postgres:///ledger?host=/run/a,b";
        assert_eq!(each(socket).unwrap(), [socket]);
        assert!(each("postgres://u@one,,two/ledger").is_err());
        assert!(each(&format!("postgres://{}/ledger", ["h"; 9].join(","))).is_err());
    }
}
