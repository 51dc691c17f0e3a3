//! What is wrong with a page is found: a look that finds nothing would prove nothing.

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use exporter_web::Server;
use tokio_util::sync::CancellationToken;

use super::see;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium and axe-core (.ci/tools)"]
async fn what_is_wrong_with_a_page_is_found() {
    let listener = exporter_web::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let routes = Router::new().route("/", get(|| async { Html(include_str!("bad_page.html")) }));
    let stop = CancellationToken::new();
    tokio::spawn(Server::new(routes).serve([listener], stop.clone()));
    let (seen, is_good) = tokio::task::spawn_blocking(move || see(&[url], &[])).await.unwrap();
    stop.cancel();
    assert!(!is_good);
    for expected in [
        "loading: console.warning: a warning",
        "loading: exception: ",
        "loading: it asks for http://elsewhere.example/picture.png",
        "loading: the policy lets the page load something",
        "markup: the page is drawn as in the nineties",
        "markup: there is a script",
        "markup: the language is not said",
        "markup: the title does not say whose page it is",
        "markup: there is not one first heading",
        "markup: something may be loaded or sent",
        "markup: a script in <body onload",
        "markup: a table says not what it is",
        "markup: a heading of a table is of neither rows nor columns",
        "markup: a picture says not what it shows",
        "360 light: the page is 2000 wide in a window of 360",
        "1600 dark: \"This one is as wide as two windows.\" and \"One on the other\" lie on each other",
        "360 light: <p class=\"cut\"> cuts what is in it",
        "360 light: <p class=\"slides\"> scrolls, but no key reaches it",
        "360 light: text leaves its <section> by",
        "360 light: a picture draws outside its frame",
        "360 light: rgb(238, 238, 238) on rgb(255, 255, 255) is too faint for a line",
        "1600 light, keyboard: what has the focus is not marked: unmarked",
        "1600 light, keyboard: Tab leads to second, not to number 1: first",
        "light, axe-core: color-contrast: ",
        "light, axe-core: html-has-lang: ",
    ] {
        assert!(seen[0].wrong.iter().any(|wrong| wrong.starts_with(expected)), "{expected} in {:#?}", seen[0].wrong);
    }
}
