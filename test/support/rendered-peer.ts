import { defaultPolicy, type Policy } from '../../src/core/policy/policy.ts';
import type { ProxyKind } from '../../src/core/render/proxy-program.ts';
import type { RenderLab } from './render-lab.ts';

/** How a proxy is run, and where it is another than the rest. */
export type RenderedPeer = {
  readonly kind: ProxyKind;
  readonly program: string;
  /** What else has to be there. */
  readonly needs: string;
  /** Its own examination of a configuration; code 0 is well, and nothing is said that `complains` matches. */
  readonly check: (file: string, lab: RenderLab) => readonly string[];
  readonly complains: RegExp;
  readonly run: (file: string, lab: RenderLab) => readonly string[];
  /** What turns away whom it cannot prove. */
  readonly unproved: 'closed' | '400';
  readonly exam: { readonly [what: string]: string };
  /** What a scan of the enforced one finds. */
  readonly findings: readonly string[];
  /** Of whom it has to have lists. */
  readonly lists: 'leaf' | 'path' | 'none';
  readonly toldCertificate: boolean;
  /** Whether in observe it tells who was proved, where others tell nothing. */
  readonly observed: { readonly toldWhenProved: boolean };
  readonly countsChunks: boolean;
  readonly staples: boolean;
  /** Whose calls it counts, beside all together. */
  readonly rates: 'caller' | 'endpoint' | 'none';
  readonly serverField: string | undefined;
};

/** Few connections, because a program that may not open so many files does not start; all that a policy can say of answers and bodies. */
export const examinedPolicy: Policy = {
  ...defaultPolicy,
  limits: { ...defaultPolicy.limits, connections: 1_000 },
  http: {
    ...defaultPolicy.http,
    hsts: { maxAgeSeconds: 31_536_000, includeSubDomains: true, preload: false },
    answerFields: ['x-content-type-options'],
    maximumBodyOctets: 1_000,
  },
};

/** Some programs go by the end of a file's name. */
export const fileEnds: { readonly [kind in ProxyKind]: string } = {
  nginx: 'conf',
  haproxy: 'cfg',
  caddy: 'caddyfile',
  envoy: 'yaml',
  node: 'mjs',
};

/** Fields by which a caller would pass for another. */
export const FORGED = [
  'Client-Cert: :Zm9yZ2Vk:',
  'client_cert: x',
  'X-Forwarded-Client-Cert: URI=x',
  'X_Forwarded_Client_Cert: URI=x',
  'Client-Cert-Chain: x',
  'Forwarded: for=x',
  'X-Forwarded-For: 9.9.9.9',
  'X-Forwarded-Proto: gopher',
];
