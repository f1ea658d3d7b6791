import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { parseSpiffeId } from '../../core/identity/spiffe-id.ts';
import { type Inbound, Origination, ProxySettingsSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Outcome, Unit } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { type AccessLogCommonSchema, AccessLogType } from '../../core/messages/generated/envoy/data/accesslog/v3/accesslog_pb.ts';
import { StreamAccessLogsMessageSchema } from '../../core/messages/generated/envoy/service/accesslog/v3/als_pb.ts';
import { encodePem } from '../../core/x509/pem.ts';
import { systemClock } from '../../platform/clock/clock.ts';
import { Counters } from '../tls/counters.ts';
import { KeptVerdicts } from '../tls/kept-verdicts.ts';
import { parseProxySettings } from '../tls/proxy-settings.ts';
import { emptyRevokedIndex } from '../tls/revoked-index.ts';
import { trustOf } from '../tls/trust.ts';
import { ENDPOINT, inboundTo, loopback, ORDERS, outboundTo, STOREFRONT, TRUST_DOMAIN } from '../../../test/support/proxy-lab.ts';
import { makeTestAuthority, type TestLeaf } from '../../../test/support/test-authority.ts';
import { AccessLog } from './access-log.ts';

const authority = makeTestAuthority(Date.now());
const OTHER = 'endpoint_01j00000000000000000000009';

function certificateOf(leaf: TestLeaf): string {
  const { certificate } = authority.issue(leaf);
  return encodeURIComponent(encodePem('CERTIFICATE', certificate.der));
}

function openLog(inbound: Partial<Inbound> = {}) {
  const counters = new Counters();
  const lines: string[] = [];
  const ports = parseProxySettings(
    create(ProxySettingsSchema, {
      generation: 3n,
      spiffeId: ORDERS,
      trustDomain: TRUST_DOMAIN,
      inbound: [Object.assign(inboundTo(1, 'enforce'), inbound)],
      outbound: [outboundTo([2], Origination.MTLS, { endpointId: OTHER, listen: loopback(3) })],
    }),
  );
  const log = new AccessLog({
    settings: () => ports,
    revoked: () => emptyRevokedIndex,
    peers: { kept: new KeptVerdicts(), trust: () => trustOf(TRUST_DOMAIN, [authority.root], [authority.issuing]), leaves: new Map() },
    generationAt: () => 3n,
    own: { has: (remote) => remote === '127.0.0.1:9', take: (remote) => remote === '127.0.0.1:9' },
    ledger: { callCame() {}, connectionCame() {} },
    countersAt: () => counters,
    clock: systemClock,
    log: (_level, event, fields) => void lines.push(JSON.stringify({ event, ...fields })),
  });
  return { log, lines, taken: () => counters.take() };
}

type Common = { readonly [field: string]: unknown };
type Init = MessageInitShape<typeof AccessLogCommonSchema>;

function common(tags: Record<string, string>, more: Common = {}, port = 4_000): Common {
  const address = {
    address: { case: 'socketAddress' as const, value: { address: '10.0.0.9', portSpecifier: { case: 'portValue' as const, value: port } } },
  };
  return {
    customTags: { conn: '1', chain: `cs|inbound|${ENDPOINT}|mtls|http`, ...tags },
    downstreamDirectRemoteAddress: address,
    downstreamRemoteAddress: address,
    ...more,
  };
}

function calls(entries: readonly Common[], response = {}) {
  const logEntry = entries.map((entry) => ({ commonProperties: entry as Init, response }));
  return create(StreamAccessLogsMessageSchema, { logEntries: { case: 'httpLogs', value: { logEntry } } });
}

function connections(entries: readonly Common[]) {
  const logEntry = entries.map((entry) => ({ commonProperties: entry as Init }));
  return create(StreamAccessLogsMessageSchema, { logEntries: { case: 'tcpLogs', value: { logEntry } } });
}

const LISTENER = { listener: `cs|inbound|${ENDPOINT}|listener|http` };
const GOOD = { cert: certificateOf({ uris: [STOREFRONT] }) };
const TLS_1_3 = { tlsProperties: { tlsVersion: 4 } };

test('what no settings know, and what names no chain of ours, is counted nowhere', () => {
  const { log, taken } = openLog();
  for (const chain of [
    '',
    '-',
    'own',
    `cs|inbound|${OTHER}|mtls|http`,
    'cs|inbound||mtls|http',
    `cs|inbound|${ENDPOINT}|mtls|http|x`,
    `cs|inbound|${'e'.repeat(400)}|mtls|http`,
  ]) {
    log.take(calls([common({ chain })]));
    log.take(connections([common({ chain, listener: chain })]));
  }
  log.take(create(StreamAccessLogsMessageSchema));
  log.take(calls([{}]));
  const { counts, refusals } = taken();
  assert.deepEqual([counts.length, refusals.length], [0, 0]);
});

test('what is no certificate proves nothing, however it is written', () => {
  for (const cert of ['x', '%', '%E0%A4%A', '-----BEGIN%20CERTIFICATE-----', `${GOOD.cert.slice(0, 200)}`, GOOD.cert.repeat(60)]) {
    const { log, taken } = openLog();
    log.take(calls([common({ cert }, TLS_1_3)], { responseCode: 200 }));
    for (const { caller, outcome } of taken().counts) assert.deepEqual([caller, outcome], ['', Outcome.WOULD_REFUSE], cert.slice(0, 40));
  }
});

test('an identity counts for the certificate alone: a name that Envoy tells beside it is not read', () => {
  const { log, taken } = openLog();
  const told = {
    tlsProperties: { tlsVersion: 4, peerCertificateProperties: { subjectAltName: [{ san: { case: 'uri' as const, value: STOREFRONT } }] } },
  };
  log.take(calls([common({}, told)], { responseCode: 200 }));
  assert.deepEqual(
    taken().counts.map(({ caller }) => caller),
    ['', ''],
  );
});

test('a call that Envoy refused is refused for the word of its rule, one that it let pass is not', () => {
  const { log, taken } = openLog();
  log.take(calls([common(GOOD, TLS_1_3)], { responseCode: 403, responseCodeDetails: 'rbac_access_denied_matched_policy[route]' }));
  log.take(calls([common(GOOD, TLS_1_3)], { responseCode: 403, responseCodeDetails: 'via_upstream' }));
  log.take(calls([common(GOOD, TLS_1_3)], { responseCode: 403, responseCodeDetails: 'rbac_access_denied_matched_policy[drop table]' }));
  const { counts, refusals } = taken();
  const found = counts.filter(({ unit }) => unit === Unit.CALL).map(({ outcome, reason }) => `${outcome} ${reason}`);
  assert.deepEqual(found.toSorted(), [`${Outcome.ACCEPTED} `, `${Outcome.REFUSED} route`, `${Outcome.REFUSED} wrong-identity`].toSorted());
  assert.equal(refusals.length, 2);
  assert.equal(counts.filter(({ unit }) => unit === Unit.CONNECTION).length, 1);
});

test('a handshake that broke is told by what was shown, and by Envoy’s words only where nothing was', () => {
  const expired = { cert: certificateOf({ uris: [STOREFRONT], notBefore: Date.now() - 7_200_000, notAfter: Date.now() - 3_600_000 }) };
  const words: readonly (readonly [Record<string, string>, string, string])[] = [
    [expired, 'TLS_error:CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN matcher', 'expired'],
    [GOOD, 'TLS_error:CERTIFICATE_VERIFY_FAILED:certificate revoked', 'revoked'],
    [{}, 'TLS_error:PEER_DID_NOT_RETURN_A_CERTIFICATE', 'no-certificate'],
    [{}, 'TLS_error:UNSUPPORTED_PROTOCOL', 'tls-version'],
    [{}, 'something new', 'tls-malformed'],
  ];
  for (const [tags, downstreamTransportFailureReason, reason] of words) {
    const { log, taken, lines } = openLog();
    log.take(connections([common({ ...LISTENER, ...tags }, { ...TLS_1_3, downstreamTransportFailureReason })]));
    const { counts, refusals } = taken();
    assert.deepEqual(
      counts.map((count) => [count.outcome, count.reason]),
      [[Outcome.REFUSED, reason]],
    );
    assert.deepEqual(
      refusals.map((refusal) => [refusal.remoteAddress, refusal.firstOctetsSha256.length]),
      [['10.0.0.9:4000', 0]],
    );
    assert.equal(
      lines.some((line) => line.includes('BEGIN')),
      false,
    );
  }
});

test('a port that nobody in the clear gets through says so; who left without a word is nobody', () => {
  const { log, taken } = openLog();
  log.take(
    connections([
      common({ ...LISTENER, chain: '-' }, { responseFlags: { noRouteFound: true } }),
      common({ ...LISTENER, chain: '-', conn: '2' }),
    ]),
  );
  assert.deepEqual(
    taken().counts.map(({ reason, outcome }) => [reason, outcome]),
    [['plaintext', Outcome.REFUSED]],
  );
});

test('who leaves before the answer had changed its mind, who leaves late gave up waiting, and who read some of it was answered', () => {
  const left = { responseFlags: { downstreamConnectionTermination: true }, startTime: { seconds: 1_700_000_000n, nanos: 0 } };
  const after = (seconds: bigint) => common({ ...GOOD, conn: String(seconds) }, { ...left, ...TLS_1_3, duration: { seconds, nanos: 1 } });
  const { log, taken } = openLog();
  log.take(calls([after(1n), after(0n)]));
  log.take(calls([after(3n), after(5n)]));
  log.take(calls([after(4n)], { responseCode: 200 }));
  log.take(
    calls([common(GOOD, { ...TLS_1_3, ...left, responseFlags: { downstreamRemoteReset: true }, duration: { seconds: 1n, nanos: 0 } })]),
  );
  assert.deepEqual(
    taken()
      .counts.filter(({ unit }) => unit === Unit.CALL)
      .map(({ outcome, reason, count }) => [outcome, reason, count]),
    [
      [Outcome.FAILED, 'timeout', 2n],
      [Outcome.ACCEPTED, '', 1n],
    ],
  );
});

test('a WebSocket counts once, when it is first told of; what else goes on counts when it ends', () => {
  const goesOn = { accessLogType: AccessLogType.DownstreamPeriodic, startTime: { seconds: 1_700_000_000n, nanos: 7 }, ...TLS_1_3 };
  const ends = { ...goesOn, accessLogType: AccessLogType.DownstreamEnd, duration: { seconds: 9n, nanos: 0 } };
  const { log, taken } = openLog();
  const callsTold = (more: Common, responseCode: number): bigint => {
    log.take(calls([common(GOOD, more)], { responseCode }));
    return taken().counts.reduce((sum, { unit, count }) => sum + (unit === Unit.CALL ? count : 0n), 0n);
  };
  assert.deepEqual([callsTold(goesOn, 101), callsTold(goesOn, 101), callsTold(ends, 101)], [1n, 0n, 0n]);
  assert.deepEqual([callsTold(goesOn, 200), callsTold(goesOn, 200), callsTold(ends, 200)], [0n, 0n, 1n]);
  assert.equal(callsTold(ends, 101), 1n);
});

test('our own handshakes and the prober’s calls are no traffic', () => {
  const { log, taken } = openLog();
  const own = {
    downstreamRemoteAddress: undefined,
    downstreamDirectRemoteAddress: {
      address: { case: 'socketAddress' as const, value: { address: '127.0.0.1', portSpecifier: { case: 'portValue' as const, value: 9 } } },
    },
  };
  log.take(connections([common({ ...LISTENER, conn: '5' }, { ...own, ...TLS_1_3, downstreamTransportFailureReason: 'x' })]));
  const probe = { cert: certificateOf({ uris: [parseSpiffeId(`spiffe://${TRUST_DOMAIN}/test/countersign/probe`)] }) };
  log.take(calls([common(probe, TLS_1_3)], { responseCode: 200, responseCodeDetails: 'direct_response' }));
  assert.equal(taken().counts.length, 0);
});

test('a flood is counted whole and kept in part', () => {
  const { log, taken } = openLog();
  const flood = Array.from({ length: 5_000 }, (_, number) =>
    common(
      { ...LISTENER, conn: String(number) },
      { ...TLS_1_3, downstreamTransportFailureReason: 'TLS_error:PEER_DID_NOT_RETURN_A_CERTIFICATE' },
      1_024 + number,
    ),
  );
  log.take(connections(flood));
  const { counts, refusals, refusalsDropped } = taken();
  assert.deepEqual([counts.length, counts[0]!.count], [1, 5_000n]);
  assert.equal(refusals.length + Number(refusalsDropped), 5_000);
  assert.ok(refusals.length <= 100);
});

test('the caller’s side tells why the next hop was not reached', () => {
  const tags = { chain: `cs|outbound|${OTHER}|plaintext|http` };
  const failures: readonly (readonly [Common, string])[] = [
    [{ responseFlags: { upstreamConnectionFailure: true } }, 'upstream-unreachable'],
    [
      {
        responseFlags: { upstreamConnectionFailure: true },
        upstreamTransportFailureReason: 'TLS_error:CERTIFICATE_VERIFY_FAILED:SAN matcher:TLS_error_end',
      },
      'wrong-identity',
    ],
    [
      {
        responseFlags: { upstreamConnectionFailure: true },
        upstreamTransportFailureReason: 'TLS_error:CERTIFICATE_VERIFY_FAILED:certificate has expired',
      },
      'expired',
    ],
    [
      { responseFlags: { upstreamConnectionFailure: true }, upstreamTransportFailureReason: 'TLS_error:TLSV1_ALERT_PROTOCOL_VERSION' },
      'tls-version',
    ],
    [{ responseFlags: { upstreamConnectionTermination: true } }, 'upstream-broken'],
    [{ responseFlags: { upstreamRequestTimeout: true } }, 'timeout'],
    [{ responseFlags: { noHealthyUpstream: true } }, 'upstream-unreachable'],
    [{ routeName: 'suspended' }, 'suspended'],
  ];
  for (const [facts, reason] of failures) {
    const { log, taken } = openLog();
    log.take(calls([common(tags, facts)], { responseCode: 503 }));
    const call = taken().counts.find(({ unit }) => unit === Unit.CALL)!;
    assert.deepEqual([call.outcome, call.reason, call.caller], [Outcome.FAILED, reason, ORDERS]);
  }
});
