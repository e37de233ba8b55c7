//! As much HTTP as reading a process's metrics takes.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::base::LabError;

/// Body of `GET path` at `address`.
pub(super) fn get(address: SocketAddr, path: &str) -> Result<String, LabError> {
    let fetch = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = fetch().map_err(LabError::file(format!("http://{address}{path}")))?;
    Ok(text.split_once("\r\n\r\n").map_or(text.clone(), |(_, body)| body.to_owned()))
}

/// Sum of a counter's samples over all labels, in the Prometheus text format.
pub(super) fn counter(metrics: &str, name: &str) -> f64 {
    let of_counter = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    metrics.lines().filter(of_counter).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_counter_are_summed() {
        let text = "# HELP a_total x\na_total{k=\"1\"} 2\na_total{k=\"2\"} 3\na_total_other 9\nb 1\n";
        assert!((counter(text, "a_total") - 5.0).abs() < f64::EPSILON);
        assert!((counter(text, "b") - 1.0).abs() < f64::EPSILON);
    }
}
