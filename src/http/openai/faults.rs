//! Refusals in OpenAI's words: its names of fields, and 400 where the native API says 422.

use axum::response::{IntoResponse, Response};

use crate::http::error::Problem;

/// Where a native field is said here; the first that fits.
const NAMES: [(&str, &str); 9] = [
    ("/count", "/n"),
    ("/width", "/size"),
    ("/height", "/size"),
    ("/output/format", "/output_format"),
    ("/output/quality", "/output_compression"),
    ("/output", "/output_format"),
    ("/previews", "/partial_images"),
    ("/metadata/user", "/user"),
    ("/metadata/safety_identifier", "/safety_identifier"),
];

/// The same answer, its problem translated.
pub async fn translated(mut response: Response) -> Response {
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem.translated(renamed).into_response(),
        None => response,
    }
}

/// The pointer of a native field, as the field is called here.
pub fn renamed(pointer: &str) -> String {
    let under = |native: &str| pointer.strip_prefix(native).filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let found = NAMES.iter().find_map(|(native, name)| Some(format!("{name}{}", under(native)?)));
    found.unwrap_or_else(|| pointer.to_owned())
}
