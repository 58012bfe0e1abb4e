use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;
use crate::{OriginRules, WebUrl};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

fn listed(port: u16) -> AllowedUrl {
    let origin = format!("http://127.0.0.1:{port}");
    let rules = OriginRules::new([origin.as_str()]).expect("rules");
    let url = WebUrl::parse(&format!("{origin}/x")).expect("a URL");
    rules.check(url).expect("it is listed")
}

async fn get(url: &AllowedUrl) -> Result<Response, Error> {
    let client = Client::new("test", Duration::ZERO);
    client.send(Method::GET, url, HeaderMap::new(), None).await
}

/// A request to a server that answers with these bytes and hangs up.
async fn answered(answer: &str) -> Result<Response, Error> {
    let (listener, port) = listen().await;
    let url = listed(port);
    let (response, ()) = tokio::join!(get(&url), async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let _ = stream.read(&mut [0; 1024]).await.expect("a request");
        stream.write_all(answer.as_bytes()).await.expect("written");
    });
    response
}

#[test]
fn one_private_address_spoils_a_host() {
    let (public, metadata) = (address("93.184.215.14"), address("169.254.169.254"));
    assert!(vet([public]).is_ok());
    let refused = vet([public, metadata]).expect_err("a private address");
    assert!(matches!(refused, Error::NotPublic { .. }));
    assert_eq!(literal("[::1]"), Some(address("::1")));
    assert_eq!(literal("127.0.0.1"), Some(address("127.0.0.1")));
    assert_eq!(literal("localhost"), None);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    let (listener, port) = listen().await;
    for host in ["localhost", "127.0.0.1"] {
        let url = WebUrl::parse(&format!("http://{host}:{port}/")).expect("a URL");
        let url = AllowedUrl::unchecked(url);
        let refused = get(&url).await.expect_err("a private address");
        assert!(
            matches!(refused, Error::NotPublic { .. }),
            "{host}: {refused}"
        );
    }
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept());
    assert!(nobody.await.is_err(), "somebody connected");
}

#[tokio::test]
async fn a_listed_origin_is_reached_and_redirects_are_answers() {
    let response = answered("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.bytes(2).await.expect("a body"), b"{}");

    let redirect = "HTTP/1.1 302 Found\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n";
    let response = answered(redirect).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::FOUND);
}

#[tokio::test]
async fn bodies_are_bounded_announced_or_not() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello world",
    ] {
        let response = answered(answer).await.expect("an answer");
        assert_eq!(response.bytes(11).await.expect("a body"), b"hello world");
        let response = answered(answer).await.expect("an answer");
        let refused = response.bytes(10).await.expect_err("too large");
        assert!(matches!(refused, Error::TooLarge(10)), "{refused}");
    }
}

#[tokio::test]
async fn whether_anything_was_sent_is_told_apart() {
    let (listener, port) = listen().await;
    drop(listener);
    let url = listed(port);
    let refused = get(&url).await.expect_err("nobody listens");
    assert!(matches!(refused, Error::NoConnection(_)), "{refused}");

    let broken = answered("HTTP/1.1 200 OK\r\ncontent-len").await;
    let broken = broken.expect_err("half an answer");
    assert!(matches!(broken, Error::Broken(_)), "{broken}");
    let broken = answered("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhello").await;
    let broken = broken.expect("a head").bytes(100).await;
    let broken = broken.expect_err("half a body");
    assert!(matches!(broken, Error::Broken(_)), "{broken}");
}
