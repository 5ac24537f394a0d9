//! Values of options that are more than a word or a number.

use serde_json::Value;

/// Width and height in pixels, such as `64x64`.
pub fn size(text: &str) -> Result<(u32, u32), String> {
    let sides =
        text.split_once(['x', 'X']).and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)));
    sides.ok_or_else(|| "write width and height in pixels, such as 64x64".into())
}

/// What begins like JSON must be JSON; anything else is a name.
pub fn name_or_json(text: &str) -> Result<Value, String> {
    let number = text.parse::<f64>().is_ok();
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) if number || text.starts_with(['{', '[', '"']) => Err(error.to_string()),
        Err(_) => Ok(text.into()),
    }
}
