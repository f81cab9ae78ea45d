//! Which proxy stands between us and the server, for messages; reqwest itself decides for requests.

use reqwest::Url;

use crate::config::SourceConfig;

/// A loopback address is behind no proxy of the environment.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// The proxy of a request, without its credentials.
pub(super) fn in_use(config: &SourceConfig, url: &Url) -> Option<String> {
    let variable = |name: &str| {
        std::env::var(name.to_uppercase())
            .or_else(|_| std::env::var(name.to_lowercase()))
            .ok()
            .filter(|value| !value.is_empty())
    };
    let host = url.host_str().unwrap_or_default();
    if variable("NO_PROXY").is_some_and(|list| is_exempt(&list, host))
        || (config.proxy.is_none() && is_loopback(url))
    {
        return None;
    }
    let scheme = format!("{}_PROXY", url.scheme());
    let proxy =
        config.proxy.clone().or_else(|| variable(&scheme)).or_else(|| variable("ALL_PROXY"))?;
    Some(Url::parse(&proxy).map_or_else(
        |_| "the proxy".to_owned(),
        |proxy| format!("proxy {}", super::http::host_and_port(&proxy)),
    ))
}

fn is_exempt(list: &str, host: &str) -> bool {
    list.split(',').map(|entry| entry.trim().trim_start_matches('.')).any(|entry| {
        entry == "*"
            || host.eq_ignore_ascii_case(entry)
            || (!entry.is_empty()
                && host.to_lowercase().ends_with(&format!(".{}", entry.to_lowercase())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exemptions_cover_hosts_below_a_domain() {
        assert!(is_exempt("localhost, .example.com", "git.example.com"));
        assert!(is_exempt("*", "anything"));
        assert!(!is_exempt("example.com", "notexample.com"));
        assert!(!is_exempt("", "git.example.com"));
    }
}
