//! Metrics: a struct whose fields are the metrics and whose doc comments are their help texts.
//!
//! Labels come from closed lists, never from user text. The HTTP metrics are touched in one layer of [`crate::http`], the
//! others by the engine and by whoever ends a job.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector, process_collector::ProcessCollector,
};

/// From half a millisecond to ten minutes.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];

/// Rows of a forward.
const ROWS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0, 128.0, 256.0];

/// `/// help` `field: Kind[labels] in buckets;` becomes a field and a registered metric `darkroom_field`.
macro_rules! metrics {
    ($(#[doc = $help:literal] $field:ident: $kind:ident[$($label:literal),*] $(in $buckets:ident)?;)*) => {
        /// Every metric of the process, ready to be touched.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl Metrics {
            /// All metrics, at zero.
            pub fn new() -> Self {
                let registry = Registry::new();
                $(let $field = {
                    let opts = Opts::new(concat!("darkroom_", stringify!($field)), $help.trim());
                    metrics!(@make $kind opts [$($label),*] $($buckets)?)
                };
                register(&registry, $field.clone());)*
                Self { registry, $($field),* }.about_the_process()
            }
        }
    };
    (@make IntCounter $opts:ident []) => { IntCounter::with_opts($opts).expect(VALID) };
    (@make IntCounterVec $opts:ident [$($label:literal),*]) => { IntCounterVec::new($opts, &[$($label),*]).expect(VALID) };
    (@make IntGaugeVec $opts:ident [$($label:literal),*]) => { IntGaugeVec::new($opts, &[$($label),*]).expect(VALID) };
    (@make Histogram $opts:ident [] $buckets:ident) => {
        Histogram::with_opts(HistogramOpts::from($opts).buckets($buckets.to_vec())).expect(VALID)
    };
    (@make HistogramVec $opts:ident [$($label:literal),*] $buckets:ident) => {
        HistogramVec::new(HistogramOpts::from($opts).buckets($buckets.to_vec()), &[$($label),*]).expect(VALID)
    };
}

const VALID: &str = "names and labels are constants and valid";

metrics! {
    /// Jobs that came to their end.
    jobs_total: IntCounterVec["kind", "status"];
    /// Jobs that wait, by model.
    queue_depth: IntGaugeVec["model"];
    /// From accepted to claimed.
    queue_wait_seconds: Histogram[] in SECONDS;
    /// From claimed to the end.
    job_duration_seconds: HistogramVec["kind"] in SECONDS;
    /// Jobs in the engine now.
    runs_active: IntGaugeVec["device"];
    /// Real rows of each predict forward, without padding.
    batch_rows: HistogramVec["model"] in ROWS;
    /// Network calls for each picture, summed over the pictures.
    evaluations_total: IntCounterVec["model", "sampler"];
    /// Time of one forward.
    forward_seconds: HistogramVec["model", "stage"] in SECONDS;
    /// Rows that were computed only to fill a batch.
    padding_rows_total: IntCounter[];
    /// Jobs that were not accepted, by error code.
    rejected_total: IntCounterVec["reason"];
    /// Attempts to deliver webhooks: delivered, retried, given_up.
    webhooks_total: IntCounterVec["outcome"];
    /// Answers to requests.
    http_requests_total: IntCounterVec["method", "route", "status"];
    /// From a request's headers to its answer's headers.
    http_request_duration_seconds: HistogramVec["route"] in SECONDS;
    /// Always 1; the labels say what runs.
    build_info: IntGaugeVec["version", "libtorch"];
}

impl Metrics {
    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("memory takes all bytes");
        String::from_utf8(text).expect("metric names and labels are text")
    }

    fn about_the_process(self) -> Self {
        self.build_info.with_label_values(&[env!("CARGO_PKG_VERSION"), "2.13.0"]).set(1);
        let pid = std::process::id().try_into().expect("process ids are small");
        register(&self.registry, ProcessCollector::new(pid, ""));
        self
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn register(registry: &Registry, collector: impl Collector + 'static) {
    registry.register(Box::new(collector)).expect("no two metrics share a name");
}
