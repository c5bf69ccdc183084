//! Engines that are broken, and TLS of every wrong kind: each gives an error of its kind, in time, and never a panic.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

mod lab;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use dockerkit::{Engine, ErrorKind, TlsOptions};
use lab::certificates::Authority;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};

const PING: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.43\r\nContent-Length: 2\r\n\r\nOK";

/// Reads one request, and answers it: pings as an engine does, others with these bytes.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8], then_hang: bool) {
    loop {
        let mut head = Vec::new();
        while !head.windows(4).any(|w| w == b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        if head.starts_with(b"GET /_ping") {
            stream.write_all(PING.as_bytes()).await.ok();
            continue;
        }
        stream.write_all(answer).await.ok();
        if then_hang {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        stream.shutdown().await.ok();
        return;
    }
}

/// An engine that answers everything with these bytes, and how long a call to it may wait.
async fn broken(folder: &Path, answer: Vec<u8>, then_hang: bool) -> Engine {
    let path = folder.join(lab::name("s"));
    let listener = UnixListener::bind(&path).unwrap();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move { serve(stream, &answer, then_hang).await });
        }
    });
    Engine::connect(format!("unix://{}", path.display())).timeout(Duration::from_secs(1)).await.unwrap()
}

fn answer(status: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut all = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    all.extend_from_slice(body);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_none_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let deep = "[".repeat(100_000);
    let chunked = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases: Vec<(&str, Vec<u8>, bool, &[ErrorKind])> = vec![
        ("HTML for JSON", answer("200 OK", "text/html", b"<html>hello</html>"), false, &[ErrorKind::Engine]),
        ("an error in HTML", answer("500 Oops", "text/html", b"<html>hello</html>"), false, &[ErrorKind::Engine]),
        ("an error of a proxy", answer("502 Bad Gateway", "text/html", b"<html>no</html>"), false, &[ErrorKind::Unreachable]),
        ("JSON without an end", answer("200 OK", "application/json", b"[{\"Id\": "), false, &[ErrorKind::Engine]),
        ("JSON of another form", answer("200 OK", "application/json", b"{\"Id\": 1}"), false, &[ErrorKind::Engine]),
        ("JSON that is too deep", answer("200 OK", "application/json", deep.as_bytes()), false, &[ErrorKind::Engine]),
        ("text that is not UTF-8", answer("200 OK", "application/json", b"[\"\xff\xfe\"]"), false, &[ErrorKind::Engine]),
        ("no HTTP", b"\x00\x01\x02 hello".to_vec(), false, &[ErrorKind::Unreachable]),
        ("nothing", Vec::new(), false, &[ErrorKind::Unreachable]),
        ("silence", Vec::new(), true, &[ErrorKind::Timeout]),
        ("a head without an end", b"HTTP/1.1 200 OK\r\nContent-".to_vec(), true, &[ErrorKind::Timeout]),
        ("a head of a megabyte", [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 1 << 20]].concat(), false, &[ErrorKind::Unreachable]),
        ("a body that is cut", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1".to_vec(), false, &[ErrorKind::Unreachable]),
        ("a body that stops", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1".to_vec(), true, &[ErrorKind::Timeout]),
        ("a chunk that is cut", format!("{chunked}ff\r\n[1").into_bytes(), false, &[ErrorKind::Unreachable]),
        ("a chunk that is none", format!("{chunked}zz\r\n").into_bytes(), false, &[ErrorKind::Unreachable]),
    ];
    for (what, bytes, hang, kinds) in cases {
        let engine = broken(folder.path(), bytes, hang).await;
        let began = Instant::now();
        let e = engine.containers().list().await.unwrap_err();
        assert!(kinds.contains(&e.kind()), "{what}: {e:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{what} took {:?}", began.elapsed());
        assert!(e.to_string().len() < 600 && !e.to_string().contains("hello"), "{what}: {e}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_break_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let frame = |kind: u8, length: u32, data: &[u8]| [&[kind, 0, 0, 0][..], &length.to_be_bytes(), data].concat();
    let inspect = br#"{"Id": "c", "Name": "/c", "Config": {"Tty": false}, "State": {"Status": "running"}}"#;
    let cases: Vec<(&str, Vec<u8>, ErrorKind)> = vec![
        ("a frame that is cut", frame(1, 100, b"begun"), ErrorKind::Unreachable),
        ("a frame that is too large", frame(1, u32::MAX, b"x"), ErrorKind::Engine),
        ("a frame of no kind", frame(9, 1, b"x"), ErrorKind::Engine),
        ("no frame", b"<html><body>what</body></html>".to_vec(), ErrorKind::Engine),
    ];
    for (what, body, kind) in cases {
        let path = folder.path().join(lab::name("l"));
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let body = body.clone();
                tokio::spawn(async move {
                    let mut stream = tokio::io::BufStream::new(stream);
                    loop {
                        let mut head = Vec::new();
                        while !head.ends_with(b"\r\n\r\n") {
                            match stream.read_u8().await {
                                Ok(byte) => head.push(byte),
                                Err(_) => return,
                            }
                        }
                        let text = String::from_utf8_lossy(&head).into_owned();
                        let reply = match text {
                            t if t.contains("/_ping") => PING.as_bytes().to_vec(),
                            t if t.contains("/logs") => answer("200 OK", "application/octet-stream", &body),
                            _ => answer("200 OK", "application/json", inspect),
                        };
                        stream.write_all(&reply).await.ok();
                        stream.flush().await.ok();
                    }
                });
            }
        });
        let engine = Engine::connect(format!("unix://{}", path.display())).await.unwrap();
        let container = engine.containers().get("c").await.unwrap();
        let mut logs = container.logs().await.unwrap();
        let mut last = None;
        while let Some(chunk) = logs.next().await {
            last = Some(chunk);
        }
        assert_eq!(last.unwrap().unwrap_err().kind(), kind, "{what}");
    }
    // Progress that is none, and an error in its midst.
    for (what, body, kind) in [
        ("HTML", &b"<html>"[..], ErrorKind::Engine),
        (
            "an error",
            b"{\"status\": \"pulling\"}\n{\"errorDetail\": {\"message\": \"manifest unknown\"}, \"error\": \"manifest unknown\"}\n",
            ErrorKind::NotFound,
        ),
    ] {
        let engine = broken(folder.path(), answer("200 OK", "application/json", body), false).await;
        assert_eq!(engine.images().pull("x").await.unwrap_err().kind(), kind, "{what}");
    }
}

#[tokio::test]
async fn sockets_that_are_none_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let dead = folder.path().join("dead");
    drop(UnixListener::bind(&dead).unwrap());
    for path in [file, dead, folder.path().join("none"), folder.path().to_owned(), folder.path().join("x".repeat(200))] {
        let e = Engine::connect(format!("unix://{}", path.display())).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
        assert!(e.hint_text().is_some(), "{e}");
    }
    let e = Engine::connect("unix:///dev/null").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unreachable, "{e}");
    // An address that swallows what is sent to it is given up in time.
    let began = Instant::now();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let e = Engine::connect(format!("tcp://{}", silent.local_addr().unwrap())).timeout(Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout, "{e}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            stream.read(&mut head).await.unwrap_or_default();
            stream.write_all(PING.replace("1.43", "1.40").as_bytes()).await.ok();
        }
    });
    let e = Engine::connect(format!("unix://{}", path.display())).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
    assert!(e.to_string().contains("1.40") && e.hint_text().is_some(), "{e}");
}

/// An engine behind TLS with this certificate, which asks for one of `clients`, and its port.
async fn behind_tls(ca: &Authority, cert: &str, clients: &Authority) -> u16 {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(clients.path(&format!("{}.pem", clients.name))).unwrap()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(ca.path(&format!("{cert}.pem"))).unwrap()],
            PrivateKeyDer::from_pem_file(ca.path(&format!("{cert}-key.pem"))).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, &answer("200 OK", "application/json", b"[]"), false).await;
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_every_wrong_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, other) = (Authority::new(folder.path(), "ca"), Authority::new(folder.path(), "other"));
    let names = "IP:127.0.0.1,DNS:localhost";
    ca.sign("server", names, (-1, 9));
    ca.sign("elsewhere", "DNS:elsewhere.test", (-1, 9));
    ca.sign("old", names, (-9, -1));
    ca.sign("early", names, (1, 9));
    ca.sign("client", "DNS:me", (-1, 9));
    other.sign("stranger", "DNS:me", (-1, 9));
    let connect = async |port: u16, tls: TlsOptions| {
        Engine::connect(format!("tcp://127.0.0.1:{port}")).tls(tls).timeout(Duration::from_secs(3)).connect_timeout(Duration::from_secs(3)).await
    };
    let with = |ca_file: &str, client: &str| {
        let mut tls = TlsOptions::default().ca_file(ca.path(ca_file));
        if !client.is_empty() {
            tls = tls.cert_file(ca.path(&format!("{client}.pem"))).key_file(ca.path(&format!("{client}-key.pem")));
        }
        tls
    };
    let good = behind_tls(&ca, "server", &ca).await;
    // From files and from memory, and by another name.
    let engine = connect(good, with("ca.pem", "client")).await.unwrap();
    assert!(engine.containers().list().await.unwrap().is_empty());
    let memory = TlsOptions::default().ca(ca.text("ca.pem")).cert(ca.text("client.pem")).key(ca.text("client-key.pem"));
    assert!(!format!("{memory:?}").contains("PRIVATE"));
    connect(good, memory).await.unwrap();
    let elsewhere = behind_tls(&ca, "elsewhere", &ca).await;
    connect(elsewhere, with("ca.pem", "client").server_name("elsewhere.test")).await.unwrap();

    // One that takes the connection and never ends the handshake is given up in time.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stuck = Engine::connect(format!("tcp://{}", silent.local_addr().unwrap())).tls(with("ca.pem", "client"));
    let e = stuck.connect_timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!((e.kind(), e.message()), (ErrorKind::Timeout, "no connection within 300ms"), "{e}");

    let mut wrong = Vec::new();
    for (what, port, tls, kind) in [
        ("another CA", good, with("other.pem", "client"), ErrorKind::Untrusted),
        ("another name", elsewhere, with("ca.pem", "client"), ErrorKind::Untrusted),
        ("an expired certificate", behind_tls(&ca, "old", &ca).await, with("ca.pem", "client"), ErrorKind::Untrusted),
        ("a certificate of tomorrow", behind_tls(&ca, "early", &ca).await, with("ca.pem", "client"), ErrorKind::Untrusted),
        ("a certificate that signed itself", behind_tls(&ca, "other", &ca).await, with("ca.pem", "client"), ErrorKind::Untrusted),
        ("no client certificate", good, with("ca.pem", ""), ErrorKind::Unauthorized),
        ("a stranger's client certificate", good, with("ca.pem", "stranger"), ErrorKind::Unauthorized),
        ("a key of another certificate", good, with("ca.pem", "client").key_file(ca.path("server-key.pem")), ErrorKind::InvalidInput),
        ("a certificate without its key", good, TlsOptions::default().ca_file(ca.path("ca.pem")).cert_file(ca.path("client.pem")), ErrorKind::InvalidInput),
        ("no CA", good, TlsOptions::default(), ErrorKind::InvalidInput),
        ("a CA that is cut", good, TlsOptions::default().ca(&ca.text("ca.pem")[..200]), ErrorKind::InvalidInput),
        ("a CA that is not there", good, with("nothing.pem", "client"), ErrorKind::NotFound),
    ] {
        match connect(port, tls).await {
            Err(e) if e.kind() == kind && e.hint_text().is_some() => {}
            Err(e) => wrong.push(format!("{what}: {e:?}")),
            Ok(_) => wrong.push(format!("{what}: taken")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A port without TLS, and TLS on a port that is asked without.
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = plain.accept().await {
            tokio::spawn(async move { serve(stream, b"", false).await });
        }
    });
    let e = connect(port, with("ca.pem", "client")).await.unwrap_err();
    assert!(matches!(e.kind(), ErrorKind::Unreachable | ErrorKind::Timeout), "{e:?}");
    let e = Engine::connect(format!("tcp://127.0.0.1:{good}")).timeout(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unreachable, "{e:?}");
}
