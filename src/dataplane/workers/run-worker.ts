import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  OcspStapleSchema,
  ProxySettingsSchema,
  RevokedSetSchema,
  TicketKeysSchema,
  TrustBundleSchema,
  TrustBundlesSchema,
} from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { TelemetryReportSchema } from '../../core/messages/generated/countersign/v1/telemetry_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { systemClock } from '../../platform/clock/clock.ts';
import { decodeIdentity } from '../../platform/keystore/stored-identity.ts';
import { type Log, openLog } from '../../platform/log/logger.ts';
import { ACCEPTED } from '../link/link-handlers.ts';
import { NativeProxy } from '../proxy/native-proxy.ts';
import { closeInherited } from '../proxy/socket-activation.ts';
import type { FromWorker, NumberedOrder, ToWorker, WorkerAnswer, WorkerOrder } from './worker-order.ts';

/** With the pool's turns a limit of all may be passed for twice this. */
const SHARE_MS = 100;
/** Answers under way may end; a revocation would not reach us any more. */
const ORPHAN_MS = 1_000;

/** The program of a worker process: a proxy of its own that does what the process that made it says, and ends with it. */
const programLog = openLog('proxy', 'info');
let log: Log = programLog;
let proxy: NativeProxy | null = null;
let isEnding = false;
let openSaid = '[]';

async function obey(order: WorkerOrder): Promise<WorkerAnswer> {
  if (order.kind === 'begin') {
    log = (level, event, fields) => programLog(level, event, { worker: order.index, ...fields });
    const { takesUnixPorts, inherited } = order;
    order.unwanted.forEach(closeInherited);
    const onNews = (endpointId: string, keys: ReadonlySet<string>): void => say({ kind: 'seen', endpointId, keys });
    const seen = { known: order.seen, onNews };
    proxy = new NativeProxy({
      identity: decodeIdentity(order.identity),
      clock: systemClock,
      log,
      seen,
      inherited,
      shared: { takesUnixPorts },
    });
    return ACCEPTED;
  }
  if (proxy === null) return { kind: 'refused', reason: 'it has not begun' };
  switch (order.kind) {
    case 'identity':
      await proxy.applyIdentity(decodeIdentity(order.octets));
      return ACCEPTED;
    case 'ticket-keys':
      return proxy.applyTicketKeys(fromBinary(TicketKeysSchema, order.octets));
    case 'trust':
      return proxy.applyTrustBundle(fromBinary(TrustBundleSchema, order.octets));
    case 'federated':
      return proxy.applyFederatedBundles(fromBinary(TrustBundlesSchema, order.octets).bundles);
    case 'revoked':
      return proxy.applyRevokedSet(fromBinary(RevokedSetSchema, order.octets));
    case 'anchors':
      await proxy.applyServerAnchors(order.ders?.map((der) => parseCertificate(der)) ?? null);
      return ACCEPTED;
    case 'client-certificates':
      await proxy.applyClientCertificates(order.held);
      return ACCEPTED;
    case 'staple':
      return proxy.applyStaple(fromBinary(OcspStapleSchema, order.octets));
    case 'settings':
      return proxy.applySettings(fromBinary(ProxySettingsSchema, order.octets), { isLastGood: order.isLastGood });
    case 'report':
      return report(proxy);
    case 'stop':
      isEnding = true;
      await proxy.stop(order.withinMs);
      return report(proxy);
    default:
      return order satisfies never;
  }
}

function report(of: NativeProxy): WorkerAnswer {
  return { kind: 'report', octets: toBinary(TelemetryReportSchema, create(TelemetryReportSchema, of.takeReport())) };
}

async function answer({ id, ...order }: NumberedOrder): Promise<void> {
  let answered: WorkerAnswer;
  try {
    answered = await obey(order);
  } catch (error) {
    log('error', 'order refused', { order: order.kind, error });
    answered = { kind: 'refused', reason: error instanceof Problem ? error.message : 'it failed inside; the log has the reason' };
  }
  say({ kind: 'answer', id, answer: answered }, () => order.kind === 'stop' && process.exit());
}

function say(message: FromWorker, onSent: () => void = () => {}): void {
  process.send?.(message, undefined, {}, onSent);
}

/** Whoever made us is gone, and with it all news of whom to refuse. */
async function endAlone(): Promise<void> {
  if (isEnding) return;
  isEnding = true;
  log('warn', 'worker ends: its proxy is gone');
  await proxy?.stop(ORPHAN_MS);
  process.exit(1);
}

/** Tells what we used of limits that hold for all workers, where there is anything new. */
function shareUse(): void {
  if (proxy === null) return;
  const use = proxy.takeUse();
  const open = JSON.stringify([...use.open]);
  if (use.calls.size === 0 && open === openSaid) return;
  openSaid = open;
  say({ kind: 'use', use });
}

process.on('message', (message: ToWorker) => {
  if (message.kind === 'use') proxy?.hearUse(message.use);
  else void answer(message);
});
setInterval(shareUse, SHARE_MS).unref();
process.once('disconnect', () => void endAlone());
// A terminal, or whoever ends a whole group of processes, tells the workers too; the proxy tells them in its own order.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
say({ kind: 'ready' });
