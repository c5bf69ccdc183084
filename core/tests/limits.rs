//! Limits of time, each for its own part of a call: connecting, the first byte, silence, and the whole; and what none of them binds.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a helper of a test fails with its test")]

#[macro_use]
mod lab;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use dockerkit::{Engine, Error, ErrorKind, TlsOptions, engine::ConnectOptions};
use lab::{certificates::Authority, variable};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener, UnixStream},
};

on_each_engine! {
    what_waits_by_nature_is_not_bound
}

const PING: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.43\r\nContent-Length: 2\r\n\r\nOK";
/// How long the engine below makes one wait.
const PAUSE: Duration = Duration::from_millis(900);
const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

/// What is sent in answer to a request, with a pause between the parts.
fn parts(head: &str) -> Vec<&'static str> {
    let path = head.split(' ').nth(1).unwrap_or_default();
    match path.split_once("/v1.43").map_or(path, |(_, rest)| rest).split('?').next().unwrap_or_default() {
        "/_ping" => vec![PING],
        "/networks" => vec!["", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"],
        "/containers/json" => vec!["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[", "]"],
        "/images/json" => vec!["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n[", " ", " ", " ", " ", "]"],
        "/events" => vec!["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", "2d\r\n{\"Type\":\"container\",\"Action\":\"die\",\"time\":1}\n\r\n"],
        // Answers that begin and never end.
        "/containers/create" => vec!["HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"Id\""],
        _ => vec!["HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"],
    }
}

async fn serve(mut stream: UnixStream) -> Option<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok()).unwrap_or(0);
        stream.read_exact(&mut vec![0; length]).await.ok()?;
        for (n, part) in parts(&head).into_iter().enumerate() {
            tokio::time::sleep(if n == 0 { Duration::ZERO } else { PAUSE }).await;
            stream.write_all(part.as_bytes()).await.ok()?;
        }
    }
}

/// The place of an engine that is slow in each way.
fn slow(folder: &Path) -> String {
    let path = folder.join(lab::name("s"));
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    format!("unix://{}", path.display())
}

async fn timed_out<T: std::fmt::Debug>(call: impl Future<Output = dockerkit::Result<T>>) -> (Error, Duration) {
    let began = Instant::now();
    let e = call.await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout, "{e:?}");
    assert!(e.hint_text().is_some(), "{e:?}");
    (e, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_of_a_call_has_a_limit_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let place = slow(folder.path());
    let with = async |limits: ConnectOptions| Engine::connect(&*place).with_options(limits).await.unwrap();
    let none = ConnectOptions::default;

    // The first byte, and nothing else.
    let engine = with(none().first_byte_timeout(SHORT).silence_timeout(LONG)).await;
    assert_eq!(timed_out(engine.networks().list().into_future()).await.0.message(), "the engine did not answer within 300ms");
    assert!(engine.containers().list().await.unwrap().is_empty());
    // Silence, and nothing else. Parts that keep coming are no silence, however long it takes.
    let engine = with(none().first_byte_timeout(LONG).silence_timeout(SHORT)).await;
    assert!(engine.networks().list().await.unwrap().is_empty());
    assert_eq!(timed_out(engine.containers().list().into_future()).await.0.message(), "the engine's answer stopped for 300ms");
    let engine = with(none().timeout(SHORT).silence_timeout(PAUSE * 3)).await;
    let began = Instant::now();
    assert!(engine.images().list().await.unwrap().is_empty());
    assert!(began.elapsed() > PAUSE * 4);
    // Both, where nothing else is said; and each in place of it.
    let engine = with(none().timeout(SHORT)).await;
    timed_out(engine.networks().list().into_future()).await;
    timed_out(engine.containers().list().into_future()).await;
    let engine = with(none().timeout(SHORT).first_byte_timeout(LONG)).await;
    assert!(engine.networks().list().await.unwrap().is_empty());
    timed_out(engine.containers().list().into_future()).await;
    // The whole, though no part of it takes long.
    let engine = with(none()).await;
    let (e, took) = timed_out(engine.images().list().deadline(PAUSE * 2).into_future()).await;
    assert!(e.message().starts_with("not done within") && took < PAUSE * 4, "{e} after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_begins_and_never_ends_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::connect(slow(folder.path())).silence_timeout(SHORT).await.unwrap();
    let (e, took) = timed_out(engine.containers().create("image", ["true"]).into_future()).await;
    assert!(e.message() == "the engine's answer stopped for 300ms" && took < LONG / 2, "{e} after {took:?}");
    // Its status has said that the network is gone: there is nothing more to wait for.
    let began = Instant::now();
    engine.networks().remove("gone").await.unwrap();
    assert!(began.elapsed() < LONG / 2);
    // The connections of both are closed, and the next call has one of its own.
    assert!(engine.networks().list().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_has_a_limit_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(folder.path(), "ca");
    // One that takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = format!("tcp://{}", silent.local_addr().unwrap());
    let tls = TlsOptions::default().ca_file(ca.path("ca.pem"));
    for answer in [SHORT / 3, LONG] {
        let (e, took) = timed_out(Engine::connect(&*place).tls(tls.clone()).timeout(answer).connect_timeout(SHORT).into_future()).await;
        assert!(e.message() == "no connection within 300ms" && took < LONG / 2, "{e} after {took:?}");
    }
    // Without TLS the connection is there, and the engine is silent.
    let (e, took) = timed_out(Engine::connect(&*place).connect_timeout(LONG).first_byte_timeout(SHORT).into_future()).await;
    assert!(e.message() == "the engine did not answer within 300ms" && took < LONG / 2, "{e} after {took:?}");
    let (e, _) = timed_out(Engine::connect(&*place).tls(tls).connect_timeout(LONG).deadline(SHORT).into_future()).await;
    assert!(e.message().starts_with("not done within"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_may_be_silent() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::connect(slow(folder.path())).timeout(SHORT).await.unwrap();
    let began = Instant::now();
    let mut events = engine.events().await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().action, "die");
    assert!(began.elapsed() > PAUSE);
}

/// On a real engine, whose answers are short, and whose commands are silent for longer than an answer may be.
async fn what_waits_by_nature_is_not_bound(usual: Engine, image: String, name: String) {
    let limit = Duration::from_secs(2);
    let engine = Engine::connect(usual.endpoint().to_string()).first_byte_timeout(limit).silence_timeout(limit).await.unwrap();
    let script = "trap 'exit 3' TERM; read word; sleep 5 & wait; echo late $word; sleep 1; exit 4";
    let main = engine.containers().run(&*image, ["sh", "-c", script]).name(&*name).stdin_open(true).await.unwrap();
    let side = engine.containers().run(&*image, ["sleep", "60"]).await.unwrap();
    let quiet = ["sh", "-c", "sleep 5; echo late; exit 6"];
    let began = Instant::now();
    let attached = main.attach().await.unwrap();
    let mut events = engine.events().filters(BTreeMap::from([("container".to_owned(), vec![main.id().to_owned()])])).await.unwrap();
    let mut logs = main.logs().follow(true).await.unwrap();
    let session = side.exec_session(quiet).await.unwrap();
    attached.write("word\n").await.unwrap();
    let attach = async {
        let mut text = String::new();
        while let Some(chunk) = attached.read().await.unwrap() {
            text += &chunk.data.text();
        }
        (text, attached.wait().await.unwrap())
    };
    let talk = async {
        let mut text = String::new();
        while let Some(chunk) = session.read().await.unwrap() {
            text += &chunk.data.text();
        }
        (text, session.wait().await.unwrap())
    };
    let follow = async {
        let mut text = String::new();
        while let Some(chunk) = logs.next().await {
            text += &chunk.unwrap().data.text();
        }
        text
    };
    let watch = async {
        loop {
            let event = events.next().await.unwrap().unwrap();
            if event.action == "die" {
                return event.action;
            }
        }
    };
    let (attached, talked, followed, watched, waited, done) = tokio::join!(attach, talk, follow, watch, main.wait(), side.exec(quiet));
    assert!(began.elapsed() > limit * 2);
    assert_eq!(attached, ("late word\n".to_owned(), 4));
    assert_eq!(talked, ("late\n".to_owned(), 6));
    assert_eq!((&*followed, &*watched, waited.unwrap().exit_code), ("late word\n", "die", 4));
    let done = done.unwrap();
    assert_eq!((&*done.stdout.text(), done.exit_code), ("late\n", 6));
    // Stopping takes as long as it is given.
    main.start().await.unwrap();
    let began = Instant::now();
    side.stop().timeout(Duration::from_secs(4)).await.unwrap();
    assert!(began.elapsed() > limit);
    for container in [main, side] {
        container.remove().force(true).await.unwrap();
    }
}
