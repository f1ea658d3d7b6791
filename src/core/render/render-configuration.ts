import { type Gap, gapsOf } from './demands.ts';
import type { ProxyKind } from './proxy-program.ts';
import { renderCaddy } from './render-caddy.ts';
import { renderEnvoy } from './render-envoy.ts';
import { renderHaproxy } from './render-haproxy.ts';
import { renderNginx } from './render-nginx.ts';
import { renderNode } from './render-node.ts';
import type { RenderedFile, RenderOrder } from './render-order.ts';

/** The files of a proxy, the configuration first, and what they will not enforce. */
export type Rendering = { readonly files: readonly RenderedFile[]; readonly gaps: readonly Gap[] };

/** @throws input-invalid for what this proxy cannot be told at all */
export function renderConfiguration(order: RenderOrder): Rendering {
  const gaps = gapsOf(order);
  return { files: renderers[order.program.kind](order, gaps), gaps };
}

/** True if the configuration loads a script. */
export function loadsScript(order: RenderOrder): boolean {
  return (
    scriptNames[order.program.kind] !== null &&
    order.clients.kind === 'certified' &&
    (order.program.kind !== 'nginx' || order.program.njs !== null)
  );
}

/** What the script is called that a configuration may load. */
export const scriptNames: { readonly [kind in ProxyKind]: string | null } = {
  nginx: 'countersign-caller.js',
  haproxy: 'countersign-caller.lua',
  caddy: null,
  envoy: null,
  node: null,
};

const renderers: { readonly [kind in ProxyKind]: (order: RenderOrder, gaps: readonly Gap[]) => readonly RenderedFile[] } = {
  nginx: renderNginx,
  haproxy: renderHaproxy,
  caddy: renderCaddy,
  envoy: renderEnvoy,
  node: renderNode,
};
