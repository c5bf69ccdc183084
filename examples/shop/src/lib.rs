//! What the three services share: a small HTTP server, a client, and a name look-up.
//!
//! The binaries are static and stand alone in their images, where the C library's resolver does not work: names are
//! asked of the name server in `/etc/resolv.conf` directly.

use std::{
    env, fs,
    io::{Error, Read, Result, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::exit,
    thread,
    time::Duration,
};

const WAIT: Duration = Duration::from_secs(3);

/// Serves `answer` on `port`; with the argument `check`, asks a running server for `/health` instead and exits.
pub fn serve(port: u16, answer: fn(&str) -> Result<String>) -> Result<()> {
    if env::args().nth(1).as_deref() == Some("check") {
        exit(i32::from(get(&format!("http://127.0.0.1:{port}/health")).is_err()));
    }
    for stream in TcpListener::bind(("0.0.0.0", port))?.incoming().flatten() {
        thread::spawn(move || {
            handle(stream, answer).ok();
        });
    }
    Ok(())
}

fn handle(mut stream: TcpStream, answer: fn(&str) -> Result<String>) -> Result<()> {
    stream.set_read_timeout(Some(WAIT))?;
    // What is left unread when the connection is closed would reset it: the head is read to its end.
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16384 {
        match stream.read(&mut part)? {
            0 => break,
            size => head.extend_from_slice(&part[..size]),
        }
    }
    let request = String::from_utf8_lossy(&head).into_owned();
    let path = request.split_whitespace().nth(1).unwrap_or("/");
    let (status, body) = match if path == "/health" { Ok("ok\n".into()) } else { answer(path) } {
        Ok(body) => ("200 OK", body),
        Err(e) => ("502 Bad Gateway", format!("{e}\n")),
    };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes())
}

/// Fetches `http://host:port/path`.
pub fn get(url: &str) -> Result<String> {
    let wrong = || Error::other(format!("cannot fetch {url}"));
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = place.split_once(':').ok_or_else(wrong)?;
    let address = SocketAddr::new(resolve(host)?, port.parse().map_err(|_| wrong())?);
    let mut stream = TcpStream::connect_timeout(&address, WAIT)?;
    stream.set_read_timeout(Some(WAIT))?;
    stream.write_all(format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        Some((_, body)) => Err(Error::other(body.trim().to_owned())),
        None => Err(wrong()),
    }
}

/// The first IPv4 address of a name.
fn resolve(host: &str) -> Result<IpAddr> {
    if let Ok(ip) = host.parse() {
        return Ok(ip);
    }
    let conf = fs::read_to_string("/etc/resolv.conf")?;
    let server = conf.lines().find_map(|l| l.strip_prefix("nameserver ")?.trim().parse().ok()).unwrap_or(IpAddr::from([127, 0, 0, 11]));
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in host.split('.') {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(WAIT))?;
    socket.send_to(&query, (server, 53))?;
    let mut reply = [0; 512];
    let size = socket.recv(&mut reply)?;
    // The answer repeats the question; each record is a name, then type, class, life, length and data.
    let mut at = query.len();
    while at < size {
        while reply[at] != 0 && reply[at] < 0xc0 {
            at += 1 + usize::from(reply[at]);
        }
        at += if reply[at] == 0 { 1 } else { 2 };
        let (kind, length) = (reply[at + 1], usize::from(reply[at + 9]));
        at += 10;
        if kind == 1 && length == 4 {
            return Ok(Ipv4Addr::new(reply[at], reply[at + 1], reply[at + 2], reply[at + 3]).into());
        }
        at += length;
    }
    Err(Error::other(format!("no address for {host}")))
}

/// The node that this service runs on.
pub fn node() -> String {
    env::var("NODE").unwrap_or_else(|_| "here".into())
}
