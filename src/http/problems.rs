//! `/problems/{code}`: what each error code means and what to do about it.

use axum::{extract::Path, http::StatusCode, response::Html};

use crate::{
    error::Code,
    http::error::{Problem, Result},
};

/// What is to be said about one code.
pub struct Page {
    /// The code.
    pub code: Code,
    /// The status of an answer with this code, unless the answer says otherwise.
    pub status: StatusCode,
    meaning: &'static str,
    remedy: &'static str,
}

/// One page for each code.
pub static PAGES: [Page; Code::ALL.len()] = [
    Page {
        code: Code::InvalidRequest,
        status: StatusCode::UNPROCESSABLE_ENTITY,
        meaning: "A field, a query parameter, a header or the method does not fit what the path takes. Nothing was stored.",
        remedy: "`errors` lists each fault with a JSON pointer to the field. Mend them and send the request again.",
    },
    Page {
        code: Code::InvalidJson,
        status: StatusCode::BAD_REQUEST,
        meaning: "The body is not a JSON text: a syntax error, bytes that are not UTF-8, a lone surrogate, or a bare NaN.",
        remedy: "`detail` gives line and column of the first error.",
    },
    Page {
        code: Code::UnsupportedMediaType,
        status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
        meaning: "The request's Content-Type is not one that the path reads.",
        remedy: "Send `content-type: application/json`.",
    },
    Page {
        code: Code::NotAcceptable,
        status: StatusCode::NOT_ACCEPTABLE,
        meaning: "The Accept header allows none of the media types that the path can give.",
        remedy: "Accept one of the types named in `detail`, or `*/*`.",
    },
    Page {
        code: Code::BodyTooLarge,
        status: StatusCode::PAYLOAD_TOO_LARGE,
        meaning: "The body has more bytes than `limits.body_bytes` allows.",
        remedy: "Send less, or ask whoever runs the server to raise the limit.",
    },
    Page {
        code: Code::NotFound,
        status: StatusCode::NOT_FOUND,
        meaning: "Nothing is, or ever was, under this path or id; or a picture is not finished yet.",
        remedy: "Compare the path with the document at /docs. A picture's job says when it is ready.",
    },
    Page {
        code: Code::Gone,
        status: StatusCode::GONE,
        meaning: "The job was erased together with its pictures and files.",
        remedy: "Post the request again; the same seed makes the same pictures.",
    },
    Page {
        code: Code::ModelNotFound,
        status: StatusCode::NOT_FOUND,
        meaning: "No model has this id.",
        remedy: "GET /v1/models lists the ids. Leave `model` out to get the server's default.",
    },
    Page {
        code: Code::QueueFull,
        status: StatusCode::TOO_MANY_REQUESTS,
        meaning: "As many jobs wait as `queue.max_depth` allows. Nothing was stored.",
        remedy: "Try again after the seconds in `retry-after`.",
    },
    Page {
        code: Code::RateLimited,
        status: StatusCode::TOO_MANY_REQUESTS,
        meaning: "This client sent more requests than it may.",
        remedy: "Try again after the seconds in `retry-after`.",
    },
    Page {
        code: Code::IdempotencyConflict,
        status: StatusCode::UNPROCESSABLE_ENTITY,
        meaning: "The idempotency key was used before with another body.",
        remedy: "Use a new key for a new request.",
    },
    Page {
        code: Code::Unauthorized,
        status: StatusCode::UNAUTHORIZED,
        meaning: "The server wants a key and got none, or a wrong one.",
        remedy: "Send `authorization: Bearer` with your key.",
    },
    Page {
        code: Code::Forbidden,
        status: StatusCode::FORBIDDEN,
        meaning: "The key is known but may not do this.",
        remedy: "Ask whoever runs the server.",
    },
    Page {
        code: Code::Draining,
        status: StatusCode::SERVICE_UNAVAILABLE,
        meaning: "The server is shutting down. It finishes what runs and takes nothing new. Nothing was stored.",
        remedy: "Try again after the seconds in `retry-after`, or at another server.",
    },
    Page {
        code: Code::Deadline,
        status: StatusCode::REQUEST_TIMEOUT,
        meaning: "A job had not finished by its `Cancel-After`, or a client took too long to send its request.",
        remedy: "Allow more time, or ask for less work.",
    },
    Page {
        code: Code::AttemptsExhausted,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        meaning: "The server's process died three times while this job ran alone.",
        remedy: "Ask for less (fewer pixels, fewer pictures) and tell whoever runs the server.",
    },
    Page {
        code: Code::OutOfMemory,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        meaning: "Even one row of the job did not fit into the device's memory.",
        remedy: "Ask for fewer pixels.",
    },
    Page {
        code: Code::NotFinite,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        meaning: "The network or the sampler produced a number that is not finite, so there is no picture.",
        remedy: "Lower the guidance, take more steps, or choose another sampler.",
    },
    Page {
        code: Code::Internal,
        status: StatusCode::INTERNAL_SERVER_ERROR,
        meaning: "A fault of darkroom or of its machine.",
        remedy: "Its log has the cause under the answer's `x-request-id`.",
    },
];

/// What is to be said about a code.
pub fn page(code: Code) -> &'static Page {
    PAGES.iter().find(|page| page.code == code).expect("there is a page for every code")
}

/// What an error code means
///
/// The page that a problem's `type` points to.
#[utoipa::path(get, path = "/problems/{code}", security(()), tag = "service", params(("code" = Code, Path, description = "An error code")),
    responses((status = 200, description = "What the code means and what to do", body = String, content_type = "text/html")))]
pub async fn show(Path(code): Path<String>) -> Result<Html<String>> {
    let page = PAGES.iter().find(|page| page.code.name() == code).ok_or_else(|| Problem::not_found("such code"))?;
    Ok(Html(render(page)))
}

fn render(page: &Page) -> String {
    let (name, title, status) = (page.code.name(), page.code.title(), page.status.as_u16());
    let Page { meaning, remedy, .. } = page;
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}: {title}</title>\
         <body style=\"font:16px/1.5 system-ui;max-width:42em;margin:3em auto;padding:0 1em\">\
         <h1>{title}</h1><p><code>{name}</code>, usually with status {status}</p>\
         <h2>What it means</h2><p>{}</p><h2>What to do</h2><p>{}</p>\n",
        code_spans(meaning),
        code_spans(remedy),
    )
}

/// `x` in back-quotes becomes code.
fn code_spans(text: &str) -> String {
    let mut parts = text.split('`');
    let mut html = parts.next().unwrap_or_default().to_owned();
    for (index, part) in parts.enumerate() {
        html.push_str(if index % 2 == 0 { "<code>" } else { "</code>" });
        html.push_str(part);
    }
    html
}
