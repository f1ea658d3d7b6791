import { signatureAlgorithms } from '../policy/tls-parameters.ts';
import { indent, typeOf } from './envoy-yaml.ts';
import { groupNamesOf } from './proxy-program.ts';
import { certifiedClients, type RenderOrder, type Upstream } from './render-order.ts';

type Lines = readonly string[];

/** The transport socket of a chain. */
export function tlsLines(order: RenderOrder): Lines {
  const { certificate, key, staple, mode } = order;
  const clients = certifiedClients(order);
  return [
    typeOf('transport_sockets.tls.v3.DownstreamTlsContext'),
    ...(clients === null
      ? []
      : [
          `require_client_certificate: ${mode === 'enforce'}`,
          '# A resumed session would bring back what was judged by an older list.',
          'disable_stateless_session_resumption: true',
          'disable_stateful_session_resumption: true',
        ]),
    ...(staple === null ? [] : ['ocsp_staple_policy: LENIENT_STAPLING']),
    'common_tls_context:',
    ...indent([
      'alpn_protocols: [h2, http/1.1]',
      ...parameterLines(order),
      'tls_certificates:',
      `- certificate_chain: { filename: ${JSON.stringify(certificate)} }`,
      ...indent([
        `private_key: { filename: ${JSON.stringify(key)} }`,
        ...(staple === null ? [] : [`ocsp_staple: { filename: ${JSON.stringify(staple)} }`]),
      ]),
      ...(clients === null
        ? []
        : [
            'validation_context:',
            ...indent([
              `trusted_ca: { filename: ${JSON.stringify(clients.trust)} }`,
              ...(clients.crl === null
                ? []
                : [
                    '# Without a list of an authority that is asked about everybody is refused. It is read at the start.',
                    `crl: { filename: ${JSON.stringify(clients.crl.file)} }`,
                    `only_verify_leaf_cert_crl: ${clients.crl.of === 'leaf'}`,
                  ]),
              ...(mode === 'enforce'
                ? []
                : ['# Nobody is refused for a certificate; nothing is told of one below.', 'trust_chain_verification: ACCEPT_UNTRUSTED']),
            ]),
          ]),
    ]),
  ];
}

function parameterLines({ policy, program }: RenderOrder): Lines {
  const { tls } = policy;
  const names = groupNamesOf(program);
  return [
    'tls_params:',
    ...indent([
      '# RFC 8996 and RFC 9325 section 4: versions, suites and groups of the policy. RFC 9155: no SHA-1 in handshakes.',
      `tls_minimum_protocol_version: TLSv${tls.minimumVersion.replace('.', '_')}`,
      `tls_maximum_protocol_version: TLSv${tls.maximumVersion.replace('.', '_')}`,
      ...(tls.minimumVersion === '1.2' ? [`cipher_suites: [${tls.suites.join(', ')}]`] : []),
      `ecdh_curves: [${tls.groups.flatMap((group) => names.get(group) ?? []).join(', ')}]`,
      `signature_algorithms: [${signatureAlgorithms.filter((name) => !/^(?:mldsa|rsa_pss_pss)/.test(name)).join(', ')}]`,
    ]),
  ];
}

/** The transport socket of the service's cluster. */
export function upstreamTlsLines({ serverName, trust, own }: Extract<Upstream, { readonly kind: 'tls' }>): Lines {
  return [
    typeOf('transport_sockets.tls.v3.UpstreamTlsContext'),
    `sni: ${serverName}`,
    'max_session_keys: 0',
    'common_tls_context:',
    ...indent([
      '# As a client Envoy speaks no more than TLS 1.2 unless it is told.',
      'tls_params: { tls_minimum_protocol_version: TLSv1_2, tls_maximum_protocol_version: TLSv1_3 }',
      ...(own === null
        ? []
        : [
            `tls_certificates: [{ certificate_chain: { filename: ${JSON.stringify(own.certificate)} }, private_key: { filename: ${JSON.stringify(own.key)} } }]`,
          ]),
      '# Authorities alone would take any certificate of theirs (RFC 9525 section 6).',
      'validation_context:',
      ...indent([
        `trusted_ca: { filename: ${JSON.stringify(trust)} }`,
        `match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: ${serverName} } }]`,
      ]),
    ]),
  ];
}
