import type { DnsName } from '../identity/dns-name.ts';
import type { SpiffeId } from '../identity/spiffe-id.ts';
import type { Mode } from '../policy/mode.ts';
import type { Policy } from '../policy/policy.ts';
import type { ProxyProgram } from './proxy-program.ts';
import type { RenderedAddress, RenderedPath } from './rendered-value.ts';

/** All that a configuration is made of. Every text in it was parsed into a form that stands in each language as it is. */
export type RenderOrder = {
  readonly program: ProxyProgram;
  /** For the heading: `policy strict (sha256 1234…)`. */
  readonly title: string;
  readonly policy: RenderedPolicy;
  readonly names: readonly DnsName[];
  readonly listen: RenderedAddress;
  readonly plain: PlainListener;
  /** Null for Node, which is the service itself. */
  readonly upstream: Upstream | null;
  readonly certificate: RenderedPath;
  readonly key: RenderedPath;
  /** An answer of OCSP as DER, kept fresh by others. */
  readonly staple: RenderedPath | null;
  readonly clients: RenderedClients;
  readonly mode: Mode;
  /** Routes of the endpoint whose callers differ from all of its callers. */
  readonly narrowedRoutes: number;
  /** Where a script that the configuration loads will lie on the proxy's machine. */
  readonly script: RenderedPath | null;
  /** Where calls are logged, by nginx alone: its own output can be a socket, which it cannot open by name. */
  readonly log: RenderedPath | null;
};

export type RenderedPolicy = Pick<Policy, 'tls' | 'http' | 'limits'>;

/** `redirect`: sent to https. `serve`: calls in the clear are taken, which `enforce` never does. */
export type PlainListener = { readonly kind: 'none' } | { readonly kind: 'redirect' | 'serve'; readonly listen: RenderedAddress };

export type Upstream =
  | { readonly kind: 'plain'; readonly address: RenderedAddress }
  | {
      readonly kind: 'tls';
      readonly address: RenderedAddress;
      /** What its certificate has to name. */
      readonly serverName: DnsName;
      readonly trust: RenderedPath;
      /** Shown to it; one file of PEM with chain and key where they are the same. */
      readonly own: { readonly certificate: RenderedPath; readonly key: RenderedPath } | null;
    };

export type RenderedClients =
  | { readonly kind: 'anonymous' }
  | {
      readonly kind: 'certified';
      readonly trust: RenderedPath;
      /** Null: nothing is known to be revoked. */
      readonly crl: RenderedLists | null;
      /** Null: every certificate of these authorities. */
      readonly callers: readonly SpiffeId[] | null;
    };

/** The first is the configuration; the name of another is what the first one loads. */
export type RenderedFile = { readonly role: 'configuration' | 'script'; readonly text: string };

/**
 * A file of certificate lists: of the authorities that issue the certificates of clients alone (`leaf`), or of every authority in their paths, the root too (`path`).
 * A root that signs on command only, as Countersign's does, publishes none.
 */
export type RenderedLists = { readonly file: RenderedPath; readonly of: 'leaf' | 'path' };

/** The clients of an order that are asked for certificates. */
export function certifiedClients({ clients }: RenderOrder): Extract<RenderedClients, { readonly kind: 'certified' }> | null {
  return clients.kind === 'certified' ? clients : null;
}
