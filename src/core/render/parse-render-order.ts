import type { DnsName } from '../identity/dns-name.ts';
import { parseSpiffeId } from '../identity/spiffe-id.ts';
import type { Mode } from '../policy/mode.ts';
import type { ProxyProgram } from './proxy-program.ts';
import { loadsScript } from './render-configuration.ts';
import type { PlainListener, RenderedClients, RenderedLists, RenderedPolicy, RenderOrder, Upstream } from './render-order.ts';
import { parseRenderedAddress, parseRenderedName, parseRenderedPath, type RenderedPath, refused } from './rendered-value.ts';

/** What a person said of one proxy, as text; undefined is left out. The names are those of the options of `policy render`. */
export type RenderWords = { readonly [name in RenderWord]?: string | undefined };

const renderWords = [
  'names',
  'listen',
  'plainListen',
  'certificate',
  'key',
  'clientTrust',
  'crl',
  'crlOf',
  'upstream',
  'upstreamName',
  'upstreamTrust',
  'upstreamCertificate',
  'upstreamKey',
  'staple',
  'script',
  'log',
] as const;
type RenderWord = (typeof renderWords)[number];

/** What is known of the endpoint from elsewhere. */
export type RenderSubject = {
  readonly program: ProxyProgram;
  readonly title: string;
  readonly policy: RenderedPolicy;
  readonly mode: Mode;
  /** `anonymous`: no certificate is asked for. Null: every caller that is certified. */
  readonly callers: readonly string[] | 'anonymous' | null;
  readonly narrowedRoutes: number;
};

/** Puts both together; whatever stands in a foreign language later is parsed here. @throws input-invalid naming the option */
export function parseRenderOrder(subject: RenderSubject, words: RenderWords): RenderOrder {
  const needed = (name: RenderWord): string => {
    const text = words[name];
    if (text === undefined) throw refused(optionOf(name), '', 'a value');
    return text;
  };
  const { program, title, policy, mode, narrowedRoutes } = subject;
  const certificate = parseRenderedPath(optionOf('certificate'), needed('certificate'));
  const order: RenderOrder = {
    program,
    title,
    policy,
    mode,
    narrowedRoutes,
    names: parseNames(needed('names')),
    listen: parseRenderedAddress(optionOf('listen'), needed('listen')),
    plain: parsePlain(words, mode),
    upstream: program.kind === 'node' ? noUpstream(words) : parseUpstream(needed('upstream'), words),
    certificate,
    key: parseRenderedPath(optionOf('key'), needed('key')),
    staple: optionalPath(words, 'staple'),
    clients: parseClients(subject, words),
    script: optionalPath(words, 'script'),
    log: optionalPath(words, 'log'),
  };
  if (order.log !== null && program.kind !== 'nginx')
    throw refused(optionOf('log'), order.log, 'none but for nginx: others log to their own output');
  if (loadsScript(order) && order.script === null) throw refused(optionOf('script'), '', 'where the script will lie that reads the caller');
  return order;
}

function parseNames(text: string): readonly DnsName[] {
  const names = text.split(',').map((name) => parseRenderedName(optionOf('names'), name));
  if (names.length > MAXIMUM_NAMES || new Set(names).size !== names.length)
    throw refused(optionOf('names'), text, `1 to ${MAXIMUM_NAMES} names, each once`);
  return names;
}

function parsePlain({ plainListen }: RenderWords, mode: Mode): PlainListener {
  if (plainListen === undefined) return { kind: 'none' };
  return { kind: mode === 'enforce' ? 'redirect' : 'serve', listen: parseRenderedAddress(optionOf('plainListen'), plainListen) };
}

function noUpstream({ upstream }: RenderWords): null {
  if (upstream !== undefined) throw refused(optionOf('upstream'), upstream, 'none for node, whose module is loaded by the service itself');
  return null;
}

/** `http://IP:PORT` or `https://IP:PORT`: a name would be resolved by each proxy in its own way, and not checked against anything. */
function parseUpstream(text: string, words: RenderWords): Upstream {
  const [, scheme, rest = ''] = /^(https?):\/\/(.+)$/.exec(text) ?? [];
  if (scheme === undefined) throw refused(optionOf('upstream'), text, 'http://IP:PORT or https://IP:PORT');
  const address = parseRenderedAddress(optionOf('upstream'), rest);
  const { upstreamName, upstreamTrust, upstreamCertificate, upstreamKey } = words;
  if (scheme === 'http') {
    const odd = upstreamName ?? upstreamTrust ?? upstreamCertificate ?? upstreamKey;
    if (odd !== undefined) throw refused(optionOf('upstream'), text, 'https:// where it has to prove a name');
    return { kind: 'plain', address };
  }
  if (upstreamName === undefined || upstreamTrust === undefined) {
    throw refused(
      optionOf('upstream'),
      text,
      '--upstream-name and --upstream-trust beside it: what it has to prove, and under which authorities',
    );
  }
  if ((upstreamCertificate === undefined) !== (upstreamKey === undefined)) {
    throw refused(optionOf('upstreamCertificate'), upstreamCertificate ?? '', '--upstream-key beside it, or neither');
  }
  const [own, key] = [optionalPath(words, 'upstreamCertificate'), optionalPath(words, 'upstreamKey')];
  return {
    kind: 'tls',
    address,
    serverName: parseRenderedName(optionOf('upstreamName'), upstreamName),
    trust: parseRenderedPath(optionOf('upstreamTrust'), upstreamTrust),
    own: own === null || key === null ? null : { certificate: own, key },
  };
}

function parseClients({ callers }: RenderSubject, words: RenderWords): RenderedClients {
  if (callers === 'anonymous') {
    const odd = words.clientTrust ?? words.crl ?? words.crlOf;
    if (odd !== undefined) throw refused(optionOf('clientTrust'), odd, 'none with --clients anonymous');
    return { kind: 'anonymous' };
  }
  if (words.clientTrust === undefined) throw refused(optionOf('clientTrust'), '', 'the authorities of its clients, or --clients anonymous');
  return {
    kind: 'certified',
    trust: parseRenderedPath(optionOf('clientTrust'), words.clientTrust),
    crl: parseLists(words),
    callers: callers === null ? null : callers.map(parseSpiffeId),
  };
}

function parseLists(words: RenderWords): RenderedLists | null {
  const [file, of = 'leaf'] = [optionalPath(words, 'crl'), words.crlOf];
  if (of !== 'leaf' && of !== 'path') throw refused(optionOf('crlOf'), of, 'leaf or path');
  if (file === null && words.crlOf !== undefined) throw refused(optionOf('crlOf'), of, '--crl beside it');
  return file === null ? null : { file, of };
}

function optionalPath(words: RenderWords, name: RenderWord): RenderedPath | null {
  const text = words[name];
  return text === undefined ? null : parseRenderedPath(optionOf(name), text);
}

function optionOf(name: RenderWord): string {
  return `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Envoy gets a chain for each, HAProxy a line. */
const MAXIMUM_NAMES = 50;
