# Loads a formula without Homebrew and prints what it tells Homebrew: what it is made of, what its service runs, and what its installation calls.
require "pathname"
require "fileutils"
require "tmpdir"

class Text < String
  def /(other) = Text.new("#{self}/#{other}")
end

module Utils
  def self.safe_popen_read(*) = "manual page"
end

class Service
  def run(command) = puts("run #{command.join(" ")}")
  def environment_variables(**variables) = variables.each { |name, value| puts "env #{name}=#{value}" }
  def keep_alive(**) = nil
  def log_path(*) = nil
  def error_log_path(*) = nil

  { etc: "/etc", var: "/var", opt_bin: "/opt/bin" }.each { |name, path| define_method(name) { Text.new(path) } }
end

class Formula
  %i[desc homepage url sha256 license head].each do |name|
    define_singleton_method(name) { |value, **_options| puts "#{name} #{value}" }
  end

  def self.depends_on(*) = nil
  def self.service(&block) = Service.new.instance_eval(&block)
  def self.test(&block) = block ? puts("test") : nil

  def initialize(directory)
    @directory = Pathname(directory)
  end

  %i[bin etc var man8 doc buildpath].each do |name|
    define_method(name) { (@directory/name.to_s).tap(&:mkpath) }
  end

  def build = Struct.new(:stable?).new(true)
  def std_cargo_args = ["--locked", "--root=#{@directory}", "--path=."]
  def system(*command) = puts("install #{command.take(3).join(" ")}")
  def generate_completions_from_executable(program, *arguments) = puts("completions #{program.basename} #{arguments.join(" ")}")
end

class Pathname
  def install(*files) = puts("file #{files.join(" ")}")
end

load ARGV.fetch(0)
Dir.mktmpdir do |directory|
  formula = AgntixExporter.new(directory)
  formula.install
  formula.post_install
  formula.caveats
  puts "revision #{ENV.fetch("AGNTIX_REVISION")}"
end
