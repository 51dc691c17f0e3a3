import { IconButton, LinkButton, Stack } from '@grafana/ui';

import type { Link } from './model';

/** The links of a panel, in its title. */
export function PanelLinks({ links }: { links: Link[] }) {
  return (
    <>
      {links.map(({ title, url }) => (
        <IconButton key={title} name="external-link-alt" tooltip={`${title}: ${url}`} />
      ))}
    </>
  );
}

/** The links of a dashboard. */
export function DashboardLinks({ links }: { links: Link[] }) {
  return (
    <Stack direction="row" gap={1} wrap="wrap">
      {links.map(({ title, type, tags }, index) => (
        <LinkButton key={index} variant="secondary" size="sm" fill="outline" icon={type === 'dashboards' ? 'bars' : 'external-link-alt'} href="#">
          {title || tags?.join(', ')}
        </LinkButton>
      ))}
    </Stack>
  );
}
