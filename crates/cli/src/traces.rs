//! Traces to an OpenTelemetry collector, on request: where the environment names one, as OpenTelemetry's specification has
//! it for every program (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>). They tell no more than the log with `-v`.

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// Where one is named: that of traces alone, or that of everything.
const COLLECTORS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// How long a collector may take, when the program ends too.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is still to be sent when the program ends.
pub(crate) struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last traces did not reach the collector");
        }
    }
}

impl Traces {
    /// Begins to send traces, where the environment asks for it.
    pub(crate) fn start() -> anyhow::Result<Option<Self>> {
        let is_named = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
        if !COLLECTORS.into_iter().any(is_named) {
            return Ok(None);
        }
        // Another one that is set by then is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::blocking::Client::builder().timeout(PATIENCE).build();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client.context("a client for traces")?)
            .with_protocol(Protocol::HttpBinary)
            .build()
            .with_context(|| format!("traces cannot be sent: see {}", COLLECTORS.join(" and ")))?;
        let resource = Resource::builder().with_service_name("vertskommune").build();
        let provider = SdkTracerProvider::builder().with_resource(resource);
        // It has a thread of its own, so that nothing of ours waits for the collector.
        Ok(Some(Self(provider.with_batch_exporter(exporter).build())))
    }

    /// What turns the spans of the log into spans of traces. Only ours: what libraries tell may quote what they read.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let ours = Targets::new()
            .with_target("vertskommune", Level::DEBUG)
            .with_target("vsphere_client", Level::INFO);
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("vertskommune")).with_filter(ours)
    }
}
