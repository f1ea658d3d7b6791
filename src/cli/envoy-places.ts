import { dirname, join, resolve } from 'node:path';
import type { EnvoyPlaces } from '../dataplane/envoy/open-envoy-plane.ts';
import { type Invocation, textOption, UsageError } from './command.ts';

/** Where the Envoy beside this proxy is met; null where the proxy carries the traffic itself. */
export function envoyPlacesOf(invocation: Invocation): EnvoyPlaces | null {
  const sds = textOption(invocation, 'envoySds');
  const admin = textOption(invocation, 'envoyAdmin');
  const bootstrap = textOption(invocation, 'envoyBootstrap');
  if (sds === undefined) {
    if (admin !== undefined || bootstrap !== undefined) throw new UsageError('--envoy-admin and --envoy-bootstrap are of --envoy-sds');
    return null;
  }
  for (const option of ['workers', 'upstreamTrustFile', 'clientCertificates']) {
    if (textOption(invocation, option) !== undefined)
      throw new UsageError('--envoy-sds goes with none of --workers, --upstream-trust-file and --client-certificates');
  }
  const sdsPath = pathOf('--envoy-sds', sds);
  return {
    sdsPath,
    adminPath: admin === undefined ? join(dirname(sdsPath), 'admin.sock') : pathOf('--envoy-admin', admin),
    bootstrapFile: bootstrap === undefined ? null : resolve(bootstrap),
  };
}

function pathOf(option: string, text: string): string {
  const path = /^unix:(.+)$/.exec(text)?.[1];
  if (path === undefined) throw new UsageError(`${option} is not of the form unix:PATH`);
  return resolve(path);
}
