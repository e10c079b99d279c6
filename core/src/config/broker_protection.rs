//! The settings of TLS, SASL and delegation tokens of Apache Kafka 4.3, with its defaults. None can be set yet: a start
//! with one is refused. They are shown, because tools expect every setting of a broker.

use super::value::ValueType;

/// A setting that cannot be given.
#[derive(Clone, Copy)]
pub(super) struct ProtectionKey {
    pub(super) name: &'static str,
    pub(super) kind: ValueType,
    pub(super) default: Option<&'static str>,
}

/// What is said about each.
pub(super) const DOC: &str = "TLS, SASL and delegation tokens are not available yet.";

/// Every such setting, sorted by name.
pub(super) const PROTECTION_KEYS: &[ProtectionKey] = {
    use ValueType::{Boolean, Class, Double, Int, List, Long, Password, Short, String};
    &[
        row("delegation.token.expiry.check.interval.ms", Long, Some("3600000")),
        row("delegation.token.expiry.time.ms", Long, Some("86400000")),
        row("delegation.token.max.lifetime.ms", Long, Some("604800000")),
        row("delegation.token.secret.key", Password, None),
        row("sasl.client.callback.handler.class", Class, None),
        row("sasl.enabled.mechanisms", List, Some("GSSAPI")),
        row("sasl.jaas.config", Password, None),
        row("sasl.kerberos.kinit.cmd", String, Some("/usr/bin/kinit")),
        row("sasl.kerberos.min.time.before.relogin", Long, Some("60000")),
        row("sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT")),
        row("sasl.kerberos.service.name", String, None),
        row("sasl.kerberos.ticket.renew.jitter", Double, Some("0.05")),
        row("sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8")),
        row("sasl.login.callback.handler.class", Class, None),
        row("sasl.login.class", Class, None),
        row("sasl.login.connect.timeout.ms", Int, None),
        row("sasl.login.read.timeout.ms", Int, None),
        row("sasl.login.refresh.buffer.seconds", Short, Some("300")),
        row("sasl.login.refresh.min.period.seconds", Short, Some("60")),
        row("sasl.login.refresh.window.factor", Double, Some("0.8")),
        row("sasl.login.refresh.window.jitter", Double, Some("0.05")),
        row("sasl.login.retry.backoff.max.ms", Long, Some("10000")),
        row("sasl.login.retry.backoff.ms", Long, Some("100")),
        row("sasl.mechanism.controller.protocol", String, Some("GSSAPI")),
        row("sasl.mechanism.inter.broker.protocol", String, Some("GSSAPI")),
        row("sasl.oauthbearer.assertion.algorithm", String, Some("RS256")),
        row("sasl.oauthbearer.assertion.claim.aud", String, None),
        row("sasl.oauthbearer.assertion.claim.exp.seconds", Int, Some("300")),
        row("sasl.oauthbearer.assertion.claim.iss", String, None),
        row("sasl.oauthbearer.assertion.claim.jti.include", Boolean, Some("false")),
        row("sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Some("60")),
        row("sasl.oauthbearer.assertion.claim.sub", String, None),
        row("sasl.oauthbearer.assertion.file", String, None),
        row("sasl.oauthbearer.assertion.private.key.file", String, None),
        row("sasl.oauthbearer.assertion.private.key.passphrase", Password, None),
        row("sasl.oauthbearer.assertion.template.file", String, None),
        row("sasl.oauthbearer.client.credentials.client.id", String, None),
        row("sasl.oauthbearer.client.credentials.client.secret", Password, None),
        row("sasl.oauthbearer.clock.skew.seconds", Int, Some("30")),
        row("sasl.oauthbearer.expected.audience", List, Some("")),
        row("sasl.oauthbearer.expected.issuer", String, None),
        row("sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Some("3600000")),
        row(
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
            Long,
            Some("10000"),
        ),
        row("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Some("100")),
        row("sasl.oauthbearer.jwks.endpoint.url", String, None),
        row(
            "sasl.oauthbearer.jwt.retriever.class",
            Class,
            Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever"),
        ),
        row(
            "sasl.oauthbearer.jwt.validator.class",
            Class,
            Some("org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator"),
        ),
        row("sasl.oauthbearer.scope", String, None),
        row("sasl.oauthbearer.scope.claim.name", String, Some("scope")),
        row("sasl.oauthbearer.sub.claim.name", String, Some("sub")),
        row("sasl.oauthbearer.token.endpoint.url", String, None),
        row("sasl.server.callback.handler.class", Class, None),
        row("sasl.server.max.receive.size", Int, Some("524288")),
        row("ssl.allow.dn.changes", Boolean, Some("false")),
        row("ssl.allow.san.changes", Boolean, Some("false")),
        row("ssl.cipher.suites", List, Some("")),
        row("ssl.client.auth", String, Some("none")),
        row("ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3")),
        row("ssl.endpoint.identification.algorithm", String, Some("https")),
        row("ssl.engine.factory.class", Class, None),
        row("ssl.key.password", Password, None),
        row("ssl.keymanager.algorithm", String, Some("SunX509")),
        row("ssl.keystore.certificate.chain", Password, None),
        row("ssl.keystore.key", Password, None),
        row("ssl.keystore.location", String, None),
        row("ssl.keystore.password", Password, None),
        row("ssl.keystore.type", String, Some("JKS")),
        row("ssl.principal.mapping.rules", String, Some("DEFAULT")),
        row("ssl.protocol", String, Some("TLSv1.3")),
        row("ssl.provider", String, None),
        row("ssl.secure.random.implementation", String, None),
        row("ssl.trustmanager.algorithm", String, Some("PKIX")),
        row("ssl.truststore.certificates", Password, None),
        row("ssl.truststore.location", String, None),
        row("ssl.truststore.password", Password, None),
        row("ssl.truststore.type", String, Some("JKS")),
    ]
};

const fn row(name: &'static str, kind: ValueType, default: Option<&'static str>) -> ProtectionKey {
    ProtectionKey { name, kind, default }
}
