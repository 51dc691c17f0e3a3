//! An answer on its way to the client, whole or broken off on purpose.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use bytes::Bytes;
use http_body::Frame;

use crate::answer::{Answer, Delivery};

/// The answer as a response.
pub(crate) fn send(answer: Answer) -> Response<Body> {
    let length = answer.body.len();
    let body = match answer.delivery {
        Delivery::Whole => Body::from(answer.body),
        Delivery::Drop => Body::new(BrokenBody::Broken),
        Delivery::CutAt(at) => {
            let mut body = Bytes::from(answer.body);
            body.truncate(at);
            Body::new(BrokenBody::Holding(body))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(answer.content_type));
    if answer.delivery != Delivery::Whole {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    for (name, value) in answer.headers {
        if let Ok(value) = value.parse() {
            // A header may have several lines.
            headers.append(name, value);
        }
    }
    response
}

/// A body that fails after what it holds (at once when it holds nothing), which makes the server end the connection.
enum BrokenBody {
    Holding(Bytes),
    Sent,
    Broken,
}

impl http_body::Body for BrokenBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match std::mem::replace(&mut *self, Self::Broken) {
            Self::Holding(bytes) => {
                *self = Self::Sent;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            // The server sends what it has only while it waits for more; an error at once would swallow it.
            Self::Sent => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Broken => Poll::Ready(Some(Err(std::io::Error::other("cut off on purpose")))),
        }
    }
}
