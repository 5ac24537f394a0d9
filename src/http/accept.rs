//! The `Accept` header (RFC 9110, 12.5.1), read for a short list of media types that can be given.

/// How much a client wants each of `offers`, and which one it gets: the best quality, the earliest offer where they tie.
/// `None` when it wants none of them. No header, or one without a readable range, allows everything.
pub fn choose<'a>(accept: Option<&str>, offers: &[&'a str]) -> Option<&'a str> {
    let ranges: Vec<_> = accept.unwrap_or("*/*").split(',').filter_map(range).collect();
    let mut best = None;
    for offer in offers {
        let quality = if ranges.is_empty() { 1.0 } else { quality(&ranges, offer) };
        if quality > best.map_or(0.0, |(most, _)| most) {
            best = Some((quality, *offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// The quality of the most specific range that covers the offer; 0 where none does.
fn quality(ranges: &[(String, f32)], offer: &str) -> f32 {
    let family = offer.split('/').next().unwrap_or_default();
    let specific = |range: &str| match range {
        _ if range == offer => 3,
        "*/*" => 1,
        _ if range.strip_suffix("/*") == Some(family) => 2,
        _ => 0,
    };
    let covering = ranges.iter().map(|(range, quality)| (specific(range), *quality)).filter(|(rank, _)| *rank > 0);
    covering.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map_or(0.0, |(_, quality)| quality)
}

/// `image/png;q=0.5` to its range and quality; a range whose quality does not read counts as unwanted.
fn range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| range.contains('/'))?.to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let quality = weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0));
    Some((range, if (0.0..=1.0).contains(&quality) { quality } else { 0.0 }))
}
