#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
  Stops the taxdisk agent, asks the broker to revoke its key, and takes its programs away. Journal and configuration
  (C:\ProgramData\taxdisk) stay.
.DESCRIPTION
  The broker is not asked with -KeepKey, and cannot be where it is not reached or something is not settled: the agent says so, and an
  administrator of the broker revokes it (`taxdisk agent revoke`).
#>
param([string]$InstallDir = (Join-Path $env:ProgramFiles 'taxdisk'), [switch]$KeepKey)
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2

$Agent = Join-Path $InstallDir 'taxdisk-agent.exe'
if (Test-Path $Agent) {
    $Words = @('uninstall')
    if ($KeepKey) { $Words += '--keep-key' }
    & $Agent @Words
    if ($LASTEXITCODE -ne 0) {
        [Console]::Error.WriteLine('uninstall.ps1: the service could not be taken away; the line above says why. Nothing was removed.')
        exit 1
    }
}
foreach ($File in 'taxdisk-agent.exe', 'taxdisk-bridge.exe', 'agent.sample.toml') {
    Remove-Item -Force -ErrorAction SilentlyContinue (Join-Path $InstallDir $File)
}
if ((Test-Path $InstallDir) -and -not (Get-ChildItem -Force $InstallDir)) { Remove-Item -Force $InstallDir }
exit 0
