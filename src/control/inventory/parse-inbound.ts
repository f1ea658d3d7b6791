import type { InboundDeclaration } from './declaration.ts';
import type { Fields } from './declaration-fields.ts';
import { type CarriedTerms, noProxyProtocol, proxyProtocols, type ProxyProtocolTerms, type Termination, terminations } from './record.ts';
import { nameForm, rangeForm, serverNameForm, socketForm } from './text-forms.ts';

/** One port on which a proxy receives. */
export function readInbound(fields: Fields): InboundDeclaration {
  const endpoint = fields.text('endpoint', nameForm);
  const listen = fields.text('listen', socketForm);
  const termination = readTermination(fields);
  const upstream = termination.kind === 'reencrypt' ? null : fields.text('upstream', socketForm);
  const proxyProtocol = readProxyProtocol(fields);
  fields.end();
  if (listen === upstream) throw fields.fail('upstream', upstream, 'another address than listen');
  return { endpoint, listen, upstream, termination, proxyProtocol };
}

/** In a service's own process an endpoint has no address of a proxy: the service listens and dials itself, by the endpoint's name. */
export function readOwnPort(fields: Fields): InboundDeclaration {
  const endpoint = fields.text('endpoint', nameForm);
  fields.end();
  return { endpoint, listen: null, upstream: null, termination: ENDS, proxyProtocol: noProxyProtocol };
}

export function readOwnOutbound(fields: Fields): { readonly endpoint: string; readonly listen: null } {
  const { endpoint } = readOwnPort(fields);
  return { endpoint, listen: null };
}

/** Only what passes TLS through can share an address: the server name tells it apart. */
export function refuseSharedListens(
  fields: Fields,
  inbound: readonly InboundDeclaration[],
  outbound: readonly { readonly listen: string | null }[],
): void {
  const ending = new Set<string>();
  const carrying = new Map<string, CarriedTerms[]>();
  for (const { listen, termination } of [...inbound, ...outbound.map(({ listen }) => ({ listen, termination: ENDS }))]) {
    if (listen === null) continue;
    const carried = 'serverNames' in termination ? termination : null;
    if (ending.has(listen) || (carried === null && carrying.has(listen))) throw fields.fail('inbound', listen, 'each listen address once');
    if (carried === null) ending.add(listen);
    else carrying.set(listen, [...(carrying.get(listen) ?? []), carried]);
  }
  for (const [listen, terms] of carrying) {
    const names = terms.flatMap(({ serverNames }) => serverNames);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) throw fields.fail('inbound', twice, `each server name once at ${listen}`);
    if (new Set(inbound.filter((one) => one.listen === listen).map(({ proxyProtocol }) => JSON.stringify(proxyProtocol))).size > 1) {
      throw fields.fail('inbound', listen, 'one use of the PROXY protocol at one address');
    }
    if (terms.filter(({ takesUnknown }) => takesUnknown).length > 1) {
      throw fields.fail('inbound', listen, 'one taker of unknown names at most');
    }
  }
}

function readProxyProtocol(fields: Fields): ProxyProtocolTerms {
  const from = fields.texts('proxyProtocolFrom', rangeForm);
  if (from.length > MAXIMUM_RANGES) throw fields.fail('proxyProtocolFrom', `${from.length} ranges`, `at most ${MAXIMUM_RANGES}`);
  return { from, send: fields.has('sendProxyProtocol') ? fields.word('sendProxyProtocol', proxyProtocols) : 'none' };
}

function readTermination(fields: Fields): Termination<string> {
  const kind = fields.has('termination') ? fields.word('termination', terminations) : 'terminate';
  if (kind === 'terminate') return ENDS;
  if (kind === 'reencrypt') return { kind, nextEndpoint: fields.text('nextEndpoint', nameForm) };
  const terms = {
    serverNames: fields.texts('serverNames', serverNameForm),
    takesUnknown: fields.flag('takesUnknown'),
    idleMs: fields.number('idleMs', IDLE_MS, 3_600_000),
    maximumConnections: fields.number('maximumConnections', CONNECTIONS, 10_000),
  };
  if (terms.serverNames.length === 0 && !terms.takesUnknown) {
    throw fields.fail('serverNames', 'nothing', 'a list of DNS names, or takesUnknown');
  }
  if (terms.serverNames.length > MAXIMUM_NAMES) {
    throw fields.fail('serverNames', `${terms.serverNames.length} names`, `at most ${MAXIMUM_NAMES}`);
  }
  return { kind, ...terms };
}

const ENDS = { kind: 'terminate' } as const;
/** Shorter cuts what only pauses; a connection that is silent for a day is forgotten by some box on its way. */
const IDLE_MS = [1_000, 86_400_000] as const;
/** What one listening socket of a proxy takes. */
const CONNECTIONS = [1, 20_000] as const;
const MAXIMUM_NAMES = 100;
const MAXIMUM_RANGES = 100;
