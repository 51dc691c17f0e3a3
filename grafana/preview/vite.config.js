import { defineConfig } from 'vite';

/**
 * Parts of @grafana/ui that a dashboard never uses: the code editor and maps, which are most of the build, and what the query editor brings
 * along without a licence.
 */
const NEVER_SHOWN = /^(monaco-editor|react-monaco-editor|ol|get-window|get-document)(\/|$)/;

export default defineConfig({
  plugins: [
    {
      name: 'leave-out-what-is-never-shown',
      enforce: 'pre',
      resolveId: (id) => (NEVER_SHOWN.test(id) ? { id: '\0never-shown', syntheticNamedExports: true } : undefined),
      load: (id) => (id === '\0never-shown' ? 'export default {};' : undefined),
    },
  ],
  // Grafana's packages read process.env in the browser, which their own bundler replaces.
  define: {
    'process.env.NODE_ENV': JSON.stringify('production'),
    'process.env': '{}',
  },
  build: {
    target: 'es2022',
    // One page for one machine: neither its size nor how it is cut matters, the time to build it does.
    minify: false,
    reportCompressedSize: false,
    chunkSizeWarningLimit: 100_000,
  },
});
