import { type Ability, always, type Demand, depends, groups, isCertified, isEnforced, no, partly, withNjs, yes } from './demand.ts';
import { isAtLeast } from './proxy-program.ts';
import { certifiedClients, type RenderedLists } from './render-order.ts';

const withLists = (text: string, gap: (lists: RenderedLists) => string | null = () => null): Ability =>
  depends(text, (order) => {
    const lists = certifiedClients(order)?.crl ?? null;
    return lists === null ? 'no list was given (--crl)' : gap(lists);
  });

/** What is asked of handshakes, and of who may make one. */
export const tlsDemands = {
  versions: {
    meaning: 'lowest and highest version of TLS',
    weight: 'access',
    isMade: always,
    by: {
      nginx: yes('`ssl_protocols`'),
      haproxy: yes('`ssl-min-ver`, `ssl-max-ver`'),
      caddy: yes('`protocols`'),
      envoy: yes('`tls_params`'),
      node: yes('`minVersion`, `maxVersion`'),
    },
  },
  suites: {
    meaning: 'suites of TLS 1.2',
    weight: 'access',
    isMade: ({ policy }) => policy.tls.minimumVersion === '1.2',
    by: {
      nginx: yes('`ssl_ciphers`'),
      haproxy: yes('`ciphers`'),
      caddy: yes('`ciphers`'),
      envoy: yes('`cipher_suites`'),
      node: yes('`ciphers`'),
    },
  },
  'suite-order': {
    meaning: "the server's order of suites in TLS 1.2",
    weight: 'other',
    isMade: ({ policy }) => policy.tls.minimumVersion === '1.2' && policy.tls.suites.length > 1,
    by: {
      nginx: yes('`ssl_prefer_server_ciphers`'),
      haproxy: yes('its default'),
      caddy: no('Go takes an order of its own'),
      envoy: yes('its default'),
      node: yes('`honorCipherOrder`'),
    },
  },
  groups: {
    meaning: 'groups of key agreement, in whatever order; a policy whose every group the version lacks is refused',
    weight: 'other',
    isMade: always,
    by: {
      nginx: groups('`ssl_ecdh_curve`; ML-KEM on OpenSSL 3.5 and later'),
      haproxy: groups('`curves`; ML-KEM on OpenSSL 3.5 and later'),
      caddy: groups('`curves`; of ML-KEM X25519MLKEM768 alone, from 2.10'),
      envoy: groups('`ecdh_curves`; of ML-KEM X25519MLKEM768 alone, from 1.40'),
      node: groups('`ecdhCurve`; ML-KEM from Node 24.5'),
    },
  },
  signatures: {
    meaning: 'no SHA-1, SHA-224 or DSA in signatures of a handshake',
    weight: 'other',
    isMade: always,
    by: {
      nginx: yes('`ssl_conf_command`'),
      haproxy: depends("`sigalgs`, `client-sigalgs` from 2.8; before, what OpenSSL's level of security refuses", ({ program }) =>
        isAtLeast(program.version, [2, 8])
          ? null
          : "before 2.8 no list can be set: OpenSSL's level of security refuses SHA-1 and DSA, not SHA-224",
      ),
      caddy: partly('what Go refuses: SHA-1 since Go 1.25'),
      envoy: yes('`signature_algorithms`'),
      node: yes('`sigalgs`'),
    },
  },
  'client-certificate': {
    meaning: 'in `enforce`: nobody without a certificate of the authorities given',
    weight: 'access',
    isMade: isEnforced,
    by: {
      nginx: yes('answered with 400 after the handshake, never with the service'),
      haproxy: yes('in the handshake'),
      caddy: yes('in the handshake'),
      envoy: yes('in the handshake'),
      node: yes('in the handshake'),
    },
  },
  revocation: {
    meaning: 'in `enforce`: no client whose certificate a list of its authority revokes, or of which no list in force speaks',
    weight: 'access',
    isMade: isEnforced,
    by: {
      nginx: withLists(
        '`ssl_crl`, read when it is reloaded; only with lists of every authority, the root too (`--crl-of path`)',
        ({ of }) =>
          of === 'path' ? null : 'nginx refuses everybody unless it has a list of every authority, the root too (--crl-of path)',
      ),
      haproxy: withLists('`crl-file`, read when it is reloaded'),
      caddy: no('it reads no CRL and asks no OCSP for clients'),
      envoy: withLists('`crl`, read at its start'),
      node: withLists('`crl`, or the module itself; read anew on SIGHUP'),
    },
  },
  callers: {
    meaning: 'in `enforce`: only callers of the list, by the URI of their certificate, letter by letter',
    weight: 'access',
    isMade: (order) => isEnforced(order) && certifiedClients(order)?.callers !== null,
    by: {
      nginx: withNjs('a script reads the certificate'),
      haproxy: yes('by Lua: a script reads the certificate'),
      caddy: yes('`vars`, over the URI as Go writes it'),
      envoy: yes('RBAC on the URI'),
      node: yes('the module reads the certificate'),
    },
  },
  sessions: {
    meaning: 'in `enforce`: no session of a client is resumed, so that a new list counts for its next handshake',
    weight: 'other',
    isMade: isEnforced,
    by: {
      nginx: yes('`ssl_session_tickets`, `ssl_session_cache`'),
      haproxy: yes('`no-tls-tickets`, no cache'),
      caddy: depends('from 2.11, the version examined: it resumes none where it verifies clients', ({ program }) =>
        isAtLeast(program.version, [2, 11]) ? null : 'a Caddyfile cannot turn tickets off',
      ),
      envoy: yes('both kinds off'),
      node: yes('tickets off, no cache'),
    },
  },
  'server-name': {
    meaning: 'no handshake for another name or for none',
    weight: 'other',
    isMade: always,
    by: {
      nginx: yes('`ssl_reject_handshake`'),
      haproxy: partly('`strict-sni`: it takes the names of the certificate'),
      caddy: partly('who names another finds no certificate, but who names none may shake hands, and is answered with 421'),
      envoy: yes('no chain for another'),
      node: yes('`SNICallback`'),
    },
  },
  verdicts: {
    meaning: 'in `observe` and `permissive`: what would be refused is logged, and nobody is refused for a certificate',
    weight: 'other',
    isMade: (order) => isCertified(order) && order.mode !== 'enforce',
    by: {
      nginx: partly('lists are not read, and a certificate that ended is answered with 400 all the same'),
      haproxy: yes('`crt-ignore-err`, and the error in the log'),
      caddy: partly('certificates are asked for and not verified'),
      envoy: partly('untrusted certificates are let in, the log has the URI and no verdict'),
      node: yes('the error in the log'),
    },
  },
  staple: {
    meaning: 'a stapled answer of OCSP',
    weight: 'other',
    isMade: ({ staple }) => staple !== null,
    by: {
      nginx: yes('`ssl_stapling_file`'),
      haproxy: yes('the file beside the certificate'),
      caddy: no('it asks the responder of its certificate itself, and takes no file'),
      envoy: yes('`ocsp_staple`'),
      node: yes('`OCSPRequest`'),
    },
  },
} as const satisfies { readonly [name: string]: Demand };
